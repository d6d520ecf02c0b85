import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from ecd_tune.analysis import (
    mean_interval,
    median_interval,
    quantile,
    share_interval,
    summarise,
)
from ecd_tune.records import Direction

finite = st.floats(-1e100, 1e100)


@given(st.lists(finite, min_size=1), st.floats(0, 1))
def test_quantile_is_numpys(values, share):
    expected = np.quantile(values, share)
    scale = max(map(abs, values))
    assert quantile(values, share) == pytest.approx(expected, rel=1e-9, abs=1e-14 * scale)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(0, 1))
def test_quantile_lies_between_the_extremes(values, share):
    assume(not (-math.inf in values and math.inf in values))
    assert min(values) <= quantile(values, share) <= max(values)


def test_quantile_next_to_a_diverged_run_is_infinite():
    assert quantile([1.0, math.inf], 0.5) == math.inf
    assert quantile([1.0, 2.0, math.inf], 0.5) == 2.0
    assert quantile([-math.inf, 0.5, 0.6], 0.25) == -math.inf


def test_quantile_needs_numbers():
    with pytest.raises(ValueError, match="at least one"):
        quantile([], 0.5)
    with pytest.raises(ValueError, match="none NaN"):
        quantile([1.0, math.nan], 0.5)


# Ranks of the 95 % interval of the median, from the tables of the sign test.
@pytest.mark.parametrize(("n", "rank"), [(6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (25, 8)])
def test_median_interval_has_the_tabulated_ranks(n, rank):
    interval = median_interval([float(v) for v in range(1, n + 1)])
    assert (interval.low, interval.high) == (rank, n + 1 - rank)


@pytest.mark.parametrize("n", range(6))
def test_no_median_interval_below_six_values(n):
    assert median_interval([float(v) for v in range(n)]) is None


@pytest.mark.parametrize("n", [6, 7, 12, 15])
def test_median_interval_has_the_stated_coverage(n):
    # The median of a continuous law splits a sample like n fair coins: count all of them.
    def covered(below):
        ordered = [-1.0] * below + [1.0] * (n - below)
        interval = median_interval(ordered)
        return interval.low < 0 < interval.high

    coverage = sum(math.comb(n, k) for k in range(n + 1) if covered(k)) / 2**n
    assert coverage >= 0.95


def test_mean_interval_is_scipys():
    values = [0.91, 0.93, 0.95, 0.92]
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, 2.0], [0.9] * 5, [1.0, 2.0, math.inf], [1e-3, 1.0, 2.0]]
)
def test_no_mean_interval_for_few_or_infinite_values(values):
    assert mean_interval(values) is None


@pytest.mark.parametrize(("k", "n"), [(0, 8), (3, 8), (8, 8), (14, 20)])
def test_share_interval_inverts_the_beta(k, n):
    interval = share_interval(k, n)
    low = 0.0 if k == 0 else stats.beta.ppf(0.025, k, n - k + 1)
    high = 1.0 if k == n else stats.beta.ppf(0.975, k + 1, n - k)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)


def test_no_share_of_zero_runs():
    assert share_interval(0, 0) is None


@given(st.lists(finite, min_size=2))
def test_summary_is_numpys(values):
    summary = summarise(values, Direction.MINIMIZE)
    assert summary.runs == len(values)
    assert summary.median == pytest.approx(np.median(values), rel=1e-9, abs=1e-290)
    scale = max(map(abs, values))
    assert summary.sd == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-14 * scale + 1e-150)


def test_tiny_values_keep_their_spread():
    summary = summarise([1e-200, 2e-200, 3e-200], Direction.MINIMIZE)
    assert summary.sd == pytest.approx(1e-200)
    assert summary.mean_interval.low < 2e-200 < summary.mean_interval.high


def test_diverged_runs_are_not_hidden():
    summary = summarise([1.0, 2.0, math.inf, math.inf], Direction.MINIMIZE)
    assert (summary.q1, summary.median, summary.q3) == (1.75, math.inf, math.inf)
    assert (summary.mean, summary.sd, summary.mean_interval) == (None, None, None)
    assert "no mean" in summary.note


def test_each_diverged_run_makes_the_median_no_better():
    values = [0.2, 0.9, 0.4, 0.7, 0.5]
    medians = []
    for count in range(len(values) + 1):
        replaced = [-math.inf] * count + sorted(values, reverse=True)[count:]
        medians.append(summarise(replaced, Direction.MAXIMIZE).median)
    assert all(later <= earlier for earlier, later in itertools.pairwise(medians))
    assert medians[-1] == -math.inf


def test_notes_say_why_an_interval_is_missing():
    assert summarise([1.0], Direction.MINIMIZE).note == "1 run: too few for an interval"
    assert "same value" in summarise([0.9] * 4, Direction.MAXIMIZE).note
    assert summarise([0.9, 0.8, 0.7], Direction.MAXIMIZE).note == ""


def test_infinitely_good_values_are_refused():
    with pytest.raises(ValueError, match="infinitely good"):
        summarise([1.0, math.inf], Direction.MAXIMIZE)
