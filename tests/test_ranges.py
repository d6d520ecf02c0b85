"""The mean of the best of a few points of a pool (``benchmarks.ranges``) is the exact one."""

from __future__ import annotations

import math
import statistics
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ranges import best_of


@given(
    found=st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=7),
    few=st.integers(1, 7),
    highest=st.booleans(),
)
def test_expectation_is_the_mean_over_draws(found: list[float], few: int, highest: bool) -> None:
    if few > len(found):
        assert math.isnan(best_of(found, few, highest))
        return
    best = max if highest else min
    wanted = statistics.fmean(best(draw) for draw in combinations(found, few))
    assert best_of(found, few, highest) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("diverged", [math.nan, math.inf])
def test_a_diverged_point_is_drawn_and_never_the_best(diverged: float) -> None:
    wanted = statistics.fmean([1.0, 2.0, 1.0])  # of (1, 2), (2, diverged) and (1, diverged)
    assert best_of([1.0, diverged, 2.0], 2, highest=False) == pytest.approx(wanted)
