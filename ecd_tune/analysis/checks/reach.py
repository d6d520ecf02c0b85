"""S11: the region that energy opens for s = 1, and whether more of it is better."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from ecd_tune.analysis.checks.assess import (
    Need,
    Prediction,
    assess,
    assess_bound,
    distinct,
    negative,
    span,
    too_few,
)
from ecd_tune.analysis.checks.model import Check, Finding, Relation, Subject
from ecd_tune.analysis.checks.rules import Estimate
from ecd_tune.analysis.checks.runs import ECDSEP, CheckedRun, Sample, StudyTrials
from ecd_tune.theory import Array

__all__ = ["CHECKS", "rank_correlation"]

_SHARE = Prediction("largest tail mean of V/𝓔", 1.0, -math.inf, 1.0, "≤")
_REACH = negative("rank correlation of log reachable F−F0 with the minimized value")
_LEAST = 20


def _check_region(data: StudyTrials) -> list[Finding]:
    sample = (
        data.usable()
        .keep("s = 0", lambda run: run.measured.s == 1)
        .keep("energy not conserved", lambda run: run.measured.conserve_energy == 1)
    )
    lack = too_few(_SHARE, sample, [Need("trials of s = 1", len(sample), 1)], "")
    if lack is not None:
        return [lack]
    bound = assess_bound(_SHARE, sample, float(sample.column("tail_w").max()))
    return [bound, _assess_reach(data, sample)]


def _assess_reach(data: StudyTrials, sample: Sample) -> Finding:
    energies = np.log1p(sample.column("delta_energy"))
    needs = [
        Need("trials of s = 1", len(sample), _LEAST),
        Need("values of δE", distinct(energies), 4),
        Need("as span of log(1+δE)", span(energies), math.log(2), grows=False),
    ]
    lack = too_few(_REACH, sample, needs, "")
    if lack is not None:
        return lack
    reach = np.array([_log_reach(run) for run in sample])
    return assess(_REACH, sample, rank_correlation(reach, sample.loss_score(data.direction)), "")


def _log_reach(run: CheckedRun) -> float:
    """Return log of the largest F − F0 that the flow reaches: 𝓔^{1/η} (§3.5)."""
    return run.measured.log_energy / run.eta


def rank_correlation(x: Array, y: Array) -> Estimate:
    """Return Spearman's rank correlation.

    Args:
        x: One quantity.
        y: Another.

    Returns:
        It, with the standard error (1−r²)√((1+r²/2)/(N−3)) of Bonett and Wright (2000).
    """
    r = float(stats.spearmanr(x, y).statistic)
    count = len(x)
    error = (1 - r**2) * math.sqrt((1 + 0.5 * r**2) / (count - 3)) if count > 3 else math.inf
    return Estimate(r, error, count, 2)


CHECKS = (
    Check(
        "S11",
        Relation(
            "s = 1: V stays below 𝓔, and a larger reachable region, 𝓔^(1/η), gives better values",
            "§3.1, §3.5",
        ),
        "no tail mean of V/𝓔 above 1 by 1e-9, 1e5 steps in total; the 95 % interval of the rank "
        "correlation is below 0, over at least 20 trials of s = 1, 4 values of δE, a factor 2 in "
        "1+δE",
        _check_region,
        Subject.STUDY,
        needs=(*ECDSEP, "delta_energy"),
        measured=True,
    ),
)
