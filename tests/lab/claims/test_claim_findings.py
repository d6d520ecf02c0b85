"""The rules of calculated findings: rounding, closeness, and Welch's comparison of means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ecd_tune.analysis.checks.model import Verdict
from ecd_tune.lab.claims.findings import (
    Contrast,
    close_finding,
    contrast,
    order_finding,
    rounding_finding,
)
from ecd_tune.lab.claims.printed import Number

S, R, Q = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
runs = st.lists(st.floats(0, 100), min_size=2, max_size=8).filter(lambda x: np.ptp(x) > 1e-3)


@settings(max_examples=30)
@given(runs, runs, st.floats(0.5, 0.999))
def test_a_contrast_of_two_is_welchs_test(first, second, level):
    found = contrast([(1.0, first), (-1.0, second)])
    oracle = stats.ttest_ind(first, second, equal_var=False)
    expected = oracle.confidence_interval(level)
    interval = found.interval(level)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.degrees == pytest.approx(float(oracle.df))
    assert found.runs == len(first) + len(second)


@settings(max_examples=30)
@given(runs, st.floats(0.1, 5))
def test_one_term_is_students_interval(values, weight):
    found = contrast([(weight, values)]).interval(0.95)
    error = weight * stats.sem(values)
    expected = stats.t.interval(0.95, len(values) - 1, weight * np.mean(values), error)
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)


def test_the_coverage_of_an_average_with_unequal_noise():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(500):
        terms = [
            (0.5, rng.normal(1, 3, 5)),
            (0.25, rng.normal(2, 0.1, 3)),
            (-0.25, rng.normal(2, 1, 4)),
        ]
        interval = contrast(terms).interval(0.9)
        inside += interval.low <= 0.5 <= interval.high
    assert stats.binomtest(inside, 500, 0.9).pvalue > 1e-3


def test_runs_without_spread_have_a_point_interval():
    found = contrast([(1.0, [2.0, 2.0]), (-1.0, [1.0, 1.0])]).interval(0.95)
    assert (found.low, found.high) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("printed", "listed", "verdict"),
    [
        (0.5, 1.0, S),
        (-0.5, -1.0, S),
        (0.5, -1.0, R),
        (-0.5, 1.0, R),
        (0.0, 1.0, R),
        (0.5, 0.05, Q),
        (0.0, 0.05, Q),
    ],
)
def test_printed_sign_is_tested(printed, listed, verdict):
    found = Contrast(listed, error=0.1, degrees=10.0, runs=12)
    finding = order_finding("row", "A − B", printed, found, 0.95)
    assert finding.verdict is verdict
    assert (finding.note != "") == (verdict is Q)


def test_stated_number_of_runs_decides():
    found = Contrast(0.2, error=0.2, degrees=8.0, runs=10)
    note = order_finding("row", "A − B", 0.2, found, 0.95).note
    needed = float(note.split()[1])
    error = 0.2 * math.sqrt(10 / (1.2 * needed))
    assert order_finding("", "", 0.2, Contrast(0.2, error, 1e3, 10), 0.95).verdict is S


def test_rounding_and_closeness():
    assert rounding_finding("a", "mean", Number("1.0"), 1.04).verdict is S
    assert rounding_finding("a", "mean", Number("1.00"), 1.04).verdict is R
    assert rounding_finding("a", "mean", Number("1.0"), math.nan).verdict is R
    assert close_finding("a", "ratio", 1.0, 1.1, 0.2).verdict is S
    assert close_finding("a", "ratio", 1.0, 1.1).verdict is R
    assert close_finding("a", "ratio", 1.0, math.nan, 5.0).verdict is R
