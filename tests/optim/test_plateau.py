"""F0 rises by the plateau law, stays below the minimum and below observed losses."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecd_tune.optim.dynamics import PointInfo
from ecd_tune.optim.self_tuning.plateau import begin_plateau, watch


def number(value: float) -> torch.Tensor:
    return torch.tensor(float(value), dtype=torch.float64)


def survey_of(loss: float, F0: torch.Tensor) -> PointInfo:
    gap = number(loss) - F0
    ok = gap > 0
    log_gap = torch.log(gap)
    return PointInfo(gap, log_gap, log_gap, [], number(1.0), ~ok, torch.tensor(False), ok)


def look_at(losses: Iterable[float], eta: float, F0: float = 0.0, alpha: float = 0.4):
    """Yield F0 and log ρ after each loss."""
    plateau, offset = begin_plateau(number(0)), number(F0)
    for loss in losses:
        seen = survey_of(loss, offset)
        plateau, offset, log_ratio = watch(
            plateau, seen, offset, number(eta), number(alpha), torch.tensor(True)
        )
        yield float(offset), float(log_ratio)


def follow_plateau(n: int, eta: float, F_min: float, count: int, seed: int):
    rng = np.random.default_rng(seed)
    plateau, offset, offsets = begin_plateau(number(0)), number(0.0), []
    for _ in range(count):
        x = rng.beta(n / 2, (eta - 1) * n / 2)
        loss = float(offset) + (F_min - float(offset)) / (1 - x)
        plateau, offset, _ = watch(
            plateau, survey_of(loss, offset), offset, number(eta), number(0.8), torch.tensor(True)
        )
        offsets.append(float(offset))
    return np.array(offsets)


@pytest.mark.parametrize(
    ("n", "eta", "F_min"), [(400, 2.0, 1.0), (2000, 1.3, 5.0), (300, 4.0, 0.2)]
)
def test_each_rise_is_half_of_the_way_to_the_minimum(n: int, eta: float, F_min: float) -> None:
    """Exact draws from the law: D halves, again and again, and F0 stays below Fmin."""
    offsets = follow_plateau(n, eta, F_min, 600, seed=3)
    left = 1 - offsets / F_min
    ratios = left[1:][np.diff(offsets) > 0] / left[:-1][np.diff(offsets) > 0]
    assert len(ratios) >= 8
    assert ratios == pytest.approx(0.5, abs=0.06)
    assert np.all(np.diff(offsets) >= 0)
    assert np.all(left > 0)


def test_the_first_rise_comes_after_three_windows_of_two_orbits() -> None:
    steps = math.ceil(2 * math.tau / 0.4)
    offsets = [F0 for F0, _ in look_at([2.0] * (3 * steps + 2), eta=2.0)]
    # a constant gap of 2 is D/(1−1/η) for D = 1
    assert offsets[3 * steps - 2] == 0.0
    assert offsets[3 * steps - 1] == pytest.approx(0.5)
    assert [ratio for _, ratio in look_at([2.0] * (3 * steps), eta=2.0)][-1] == math.log(0.5)


def test_the_lowest_loss_bounds_a_rise() -> None:
    """What is half of D goes halfway to the lowest loss at most."""
    losses = [0.1] + [2.0] * 200
    assert max(F0 for F0, _ in look_at(losses, eta=2.0)) < 0.1


@pytest.mark.parametrize(
    ("losses", "eta"),
    [([3.0 * 0.99**k for k in range(300)], 2.0), ([2.0] * 300, 1.0)],
    ids=["a loss that falls", "η = 1"],
)
def test_F0_is_unchanged_without_information(losses: list[float], eta: float) -> None:
    assert {F0 for F0, _ in look_at(losses, eta)} == {0.0}


def test_loss_close_to_F0_lowers_F0() -> None:
    found = list(look_at([2.0] * 96 + [0.7], eta=2.0))
    assert found[-2][0] == pytest.approx(0.5)  # room 0.5
    F0, log_ratio = found[-1]
    assert pytest.approx(0.7 - 1.0) == F0
    assert log_ratio == pytest.approx(math.log(2.0))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.floats(-1e3, 1e3, allow_subnormal=False) | st.sampled_from([1.0, 2.0, 2.1]),
        min_size=1,
        max_size=120,
    ),
    st.floats(1.0, 6.0),
)
def test_F0_is_never_above_an_observed_loss(losses: list[float], eta: float) -> None:
    lowest = math.inf
    repeated = [loss for loss in losses for _ in range(3)]
    for loss, (F0, _) in zip(repeated, look_at(repeated, eta, alpha=1.5), strict=True):
        lowest = min(lowest, loss)
        assert lowest > F0 or (F0 == 0.0 < lowest)


def test_nonfinite_losses_are_ignored() -> None:
    found = list(look_at([2.0, math.nan, math.inf, -math.inf, 2.0], eta=2.0))
    assert found == [(0.0, 0.0)] * 5
