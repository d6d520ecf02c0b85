import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ecd_tune.analysis import compare_paired, compare_searches
from ecd_tune.records import Direction

MIN, MAX = Direction.MINIMIZE, Direction.MAXIMIZE


def searches(levels, spread=(0.0,)):
    """One search a level, whose runs lie around it."""
    return [
        {100 * i + j: level + step for j, step in enumerate(spread)}
        for i, level in enumerate(levels)
    ]


def simulate(rng, count, seeds, between):
    """Searches of one and the same optimizer: their levels differ, and so do their runs."""
    levels = between * rng.normal(size=(count, 1))
    values = levels + rng.normal(size=(count, seeds))
    return searches_of(values)


def searches_of(values):
    return [{100 * i + j: float(v) for j, v in enumerate(row)} for i, row in enumerate(values)]


def test_welchs_test_on_medians_of_searches():
    first, second = [0.2, 0.5, 0.9, 0.4], [1.1, 0.8, 1.7]
    spread = (-3.0, -0.1, 0.0, 0.1, 7.0)  # whose median is 0, and whose mean is not
    found = compare_searches(searches(first, spread), searches(second, spread), MIN)
    expected = stats.ttest_ind(first, second, equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.effect == pytest.approx(np.mean(first) - np.mean(second))
    assert found.effect_interval.low == pytest.approx(ends.low)
    assert found.effect_interval.high == pytest.approx(ends.high)
    assert (found.searches, found.lead, found.pairs) == (3, 1, 15)


def test_false_positives_are_at_most_the_level():
    """Search-to-search spread of half the seeds': there the seeds of one search say too much."""
    rng, tries = np.random.default_rng(0), 300
    new = old = 0
    for _ in range(tries):
        sides = [simulate(rng, 4, 10, 0.5) for _ in range(2)]
        new += compare_searches(*sides, MIN).p_value < 0.05
        old += compare_paired(sides[0][0], sides[1][0], MIN).p_value < 0.05
    # 5 % and three standard errors of the simulation.
    assert new / tries < 0.05 + 3 * math.sqrt(0.05 * 0.95 / tries)
    assert new / tries > 0.015
    assert old / tries > 0.15


def test_true_difference_is_detected():
    rng, tries = np.random.default_rng(1), 60
    found = 0
    for _ in range(tries):
        first, second = (simulate(rng, 4, 10, 0.5) for _ in range(2))
        better = [{seed: value - 3 for seed, value in runs.items()} for runs in first]
        result = compare_searches(better, second, MIN)
        assert result.lead == 1
        found += result.p_value < 0.05
    assert found > 0.95 * tries


def test_side_without_values_ranks_last():
    found = compare_searches(searches([1, 2, 3, 4]), searches([math.inf] * 4), MIN)
    assert found.effect == -math.inf
    assert found.effect_interval is None
    assert found.p_value == pytest.approx(2 / math.comb(8, 4))
    assert found.lead == 1
    assert compare_searches(searches([1, 2]), searches([-math.inf] * 2), MAX).lead == 1


def test_equal_sides_have_no_lead_and_no_evidence():
    found = compare_searches(searches([1, 1, 1]), searches([1, 1, 1]), MIN)
    assert (found.lead, found.p_value, found.effect) == (0, 1.0, 0.0)


@pytest.mark.parametrize("count", [0, 1])
def test_no_test_with_one_search_per_side(count):
    found = compare_searches(searches([1.0] * count), searches([2.0, 3.0]), MIN)
    assert found.p_value is None
    assert found.effect_interval is None
    assert found.searches == count


def test_log_differences_are_ratios():
    found = compare_searches(searches([1e-3, 1e-4]), searches([1e-1, 1e-2]), MIN, log=True)
    assert found.effect == pytest.approx(-2)


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=6),
    st.lists(st.floats(-5, 5), min_size=2, max_size=6),
)
def test_comparison_is_symmetric(first, second):
    one = compare_searches(searches(first), searches(second), MAX)
    other = compare_searches(searches(second), searches(first), MAX)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.lead == -other.lead
    assert one.effect == pytest.approx(-other.effect)
