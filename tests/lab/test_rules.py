"""The decision rules of exact systems at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ecd_tune.analysis.checks.model import Verdict
from ecd_tune.analysis.checks.rules import Estimate, mean
from ecd_tune.lab.rules import interval_finding, ks_finding, p_verdict

SUPPORTED, REFUTED, INCONCLUSIVE = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE


def test_rule_r_cannot_decide_without_an_interval():
    nothing = Estimate(math.nan, math.nan, 10)
    assert interval_finding("", "", nothing, 1.0, 0.1).verdict is INCONCLUSIVE
    one = mean(np.array([1.0]))
    assert interval_finding("", "", one, 1.0, 0.1).verdict is INCONCLUSIVE


def test_stated_sample_size_decides():
    rng = np.random.default_rng(0)
    values = 1.02 + 0.5 * rng.standard_normal(100)
    finding = interval_finding("", "", mean(values), 1.0, 0.1)
    assert finding.verdict is INCONCLUSIVE
    needed = float(finding.note.split()[1])
    more = np.tile(values, math.ceil(2 * needed / 100))
    assert interval_finding("", "", mean(more), 1.0, 0.1).verdict is SUPPORTED


def test_skipped_rescales_are_inconclusive():
    sure = Estimate(1.0, 1e-6, 100)
    assert interval_finding("", "", sure, 1.0, 0.1, skipped=0.01).verdict is SUPPORTED
    finding = interval_finding("", "", sure, 1.0, 0.1, skipped=0.02)
    assert finding.verdict is INCONCLUSIVE
    assert "2.0% of the rescales" in finding.note


@pytest.mark.parametrize(
    ("p", "count", "cases", "verdict"),
    [
        (0.02, 500, 1, SUPPORTED),
        (0.009, 500, 1, INCONCLUSIVE),
        (0.009, 500, 6, SUPPORTED),
        (0.9e-4, 500, 1, REFUTED),
        (0.9e-4, 500, 6, INCONCLUSIVE),
        (1e-9, 499, 1, INCONCLUSIVE),
        (0.5, 499, 1, INCONCLUSIVE),
        (math.nan, 500, 1, INCONCLUSIVE),
    ],
)
def test_rule_k(p, count, cases, verdict):
    assert p_verdict(p, count, cases) is verdict


def test_ks_finding_distinguishes_close_distributions():
    law, other = stats.beta(10, 10), stats.beta(10, 12)
    draws = law.rvs(800, random_state=1)
    assert ks_finding("", draws, law).verdict is SUPPORTED
    assert ks_finding("", draws, other).verdict is REFUTED
    assert ks_finding("", np.append(draws, np.nan), law).verdict is INCONCLUSIVE
