"""The decision rules at their edges, and the jackknife against known errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.analysis.checks.model import Verdict
from ecd_tune.analysis.checks.rules import (
    Estimate,
    bound_finding,
    jackknife,
    mean,
    range_verdict,
    units_needed,
)

SUPPORTED, REFUTED, INCONCLUSIVE = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
numbers = st.floats(-10, 10)


@given(numbers, st.floats(0, 5), numbers, st.floats(0.01, 5))
def test_rule_r_is_containment_and_disjointness(low, length, target, tolerance):
    high = low + length
    left, right = target - tolerance, target + tolerance
    verdict = range_verdict(low, high, left, right)
    assert (verdict is SUPPORTED) == (left <= low and high <= right)
    assert (verdict is REFUTED) == (high < left or right < low)


def test_rule_b():
    assert bound_finding("", "", 1.0, 1.0, 1e-10, 100_000).verdict is SUPPORTED
    assert bound_finding("", "", 1.0, 1.0, 1e-8, 10).verdict is REFUTED
    assert bound_finding("", "", 0.5, 1.0, -0.5, 99_999).verdict is INCONCLUSIVE
    assert bound_finding("", "", math.nan, 1.0, math.nan, 100_000).verdict is REFUTED


def test_the_jackknife_of_a_mean_is_the_standard_error():
    values = np.random.default_rng(2).standard_normal(50)
    found = jackknife(lambda x: float(x.mean()), values)
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert (found.low, found.high) == pytest.approx((mean(values).low, mean(values).high))


def test_jackknife_interval_covers():
    """1/mean of 30 exponential values: 95 % nominal, within what 400 tries can tell."""
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        found = jackknife(lambda x: 1 / float(x.mean()), rng.exponential(2.0, 30) + 1)
        inside += found.low <= 1 / 3 <= found.high
    assert inside / 400 > 0.90


@pytest.mark.parametrize("offset", [0.05, 0.16])
def test_stated_sample_size_has_power_80_percent(offset):
    """Means of normal values, inside of what is allowed and outside, as often as promised."""
    rng = np.random.default_rng(5)
    needed = units_needed(Estimate(offset, 0.1, 20), -0.1, 0.1)
    assert needed is not None
    scatter = 0.1 * math.sqrt(20)
    decided = []
    for _ in range(600):
        found = mean(offset + scatter * rng.standard_normal(needed))
        decided.append(range_verdict(found.low, found.high, -0.1, 0.1) is not INCONCLUSIVE)
    assert np.mean(decided) == pytest.approx(0.8, abs=0.05)


def test_no_sample_size_decides_at_the_limit_of_the_rule():
    assert units_needed(Estimate(0.1, 0.1, 20), -0.1, 0.1) is None
    assert units_needed(Estimate(0.0, math.inf, 20), -0.1, 0.1) is None
    assert units_needed(Estimate(math.nan, 0.1, 20), -0.1, 0.1) is None


def test_range_can_be_unbounded():
    assert range_verdict(-3.0, -1.0, -math.inf, 0.0) is SUPPORTED
    assert range_verdict(1.0, 3.0, -math.inf, 0.0) is REFUTED
    assert range_verdict(-1.0, 1.0, -math.inf, 0.0) is INCONCLUSIVE
