"""Decision rules R and K as checks of exact systems apply them, fixed before anything is measured.

Rule R is in :mod:`ecd_tune.analysis.checks.rules`. Rule K is Kolmogorov's and Smirnov's test on at
least 500 independent samples: supported for p > 0.01, refuted for p < 1e-4, else inconclusive. With
several cases in one check, p is multiplied by their number (Bonferroni), so that the check as a
whole has these levels.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from ecd_tune.analysis.checks.model import Finding, Verdict
from ecd_tune.analysis.checks.rules import Estimate, range_verdict, units_needed
from ecd_tune.theory import Array

__all__ = ["interval_finding", "p_verdict", "ks_finding"]

KS_SAMPLES = 500
KS_SUPPORTED, KS_REFUTED = 0.01, 1e-4
MAX_SKIPPED = 0.01
"""Share of skipped rescales above which a measurement is inconclusive."""


def p_verdict(p: float, count: int, cases: int = 1) -> Verdict:
    """Rule K.

    Args:
        p: The test's p-value.
        count: Number of independent samples.
        cases: Number of tests in the same check.

    Returns:
        The verdict.
    """
    adjusted = p * cases
    if count < KS_SAMPLES or KS_REFUTED <= adjusted <= KS_SUPPORTED or math.isnan(p):
        return Verdict.INCONCLUSIVE
    return Verdict.SUPPORTED if adjusted > KS_SUPPORTED else Verdict.REFUTED


def interval_finding(
    case: str,
    statistic: str,
    estimate: Estimate,
    target: float,
    tolerance: float,
    skipped: float = 0.0,
) -> Finding:
    """Apply rule R.

    Args:
        case: The setting.
        statistic: The measurement.
        estimate: With its interval.
        target: T₀.
        tolerance: Half width of the allowed range.
        skipped: Share of steps whose rescale was skipped.

    Returns:
        The finding; it has the number of units that would decide if these do not.
    """
    least, most = target - tolerance, target + tolerance
    verdict, note = range_verdict(estimate.low, estimate.high, least, most), ""
    if verdict is Verdict.INCONCLUSIVE:
        note = _needed(estimate, least, most)
    if skipped > MAX_SKIPPED:
        verdict, note = Verdict.INCONCLUSIVE, f"{skipped:.1%} of the rescales were skipped"
    low, high = estimate.low, estimate.high
    return Finding(
        case, statistic, target, estimate.value, low, high, verdict, estimate.count, note
    )


def _needed(estimate: Estimate, least: float, most: float) -> str:
    units = units_needed(estimate, least, most)
    if units is None:
        return "no finite interval" if not math.isfinite(estimate.error) else "at the rule's edge"
    return f"about {units:.2g} units would decide"


def ks_finding(
    case: str,
    samples: Array,
    law: object,
    cases: int = 1,
    skipped: float = 0.0,
) -> Finding:
    """Apply rule K; measured is p, and predicted the level above which it supports.

    Args:
        case: The setting.
        samples: Independent samples, ``[N]``.
        law: Distribution with a ``cdf``.
        cases: Number of tests in the same check.
        skipped: Share of steps whose rescale was skipped.

    Returns:
        The finding.
    """
    count = len(samples)
    finite = bool(np.isfinite(samples).all())
    p = float(stats.kstest(samples, law.cdf).pvalue) if finite else math.nan  # type: ignore[attr-defined]
    verdict = p_verdict(p, count, cases)
    note = f"needs {KS_SAMPLES} chains" if count < KS_SAMPLES else ""
    if skipped > MAX_SKIPPED:
        verdict, note = Verdict.INCONCLUSIVE, f"{skipped:.1%} of the rescales were skipped"
    level = KS_SUPPORTED / cases
    return Finding(case, "p of KS", level, p, None, None, verdict, count, note, ">")
