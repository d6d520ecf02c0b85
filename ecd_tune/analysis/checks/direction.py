"""S1 and S4: the effect of η and ν on the loss that a study's runs reach."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ecd_tune.analysis.checks.assess import (
    Need,
    assess,
    distinct,
    near,
    negative,
    span,
    too_few,
)
from ecd_tune.analysis.checks.fits import fit
from ecd_tune.analysis.checks.floor import F_MIN, above_floor, each_landscape
from ecd_tune.analysis.checks.model import Check, Finding, Relation, Subject, Verdict
from ecd_tune.analysis.checks.runs import ECD, Sample, StudyTrials
from ecd_tune.theory import Array

__all__ = ["CHECKS", "best_of_bins"]

_BINS, _BEST = 5, 0.25
_FALLS = negative("slope of log gap on η, best quarter of each bin")
_WITH_ETA = negative("log ν with log(η−1), slope of log gap")
_WITH_EFFECTIVE = near("log ν with log(η_eff−1), slope of log gap", 0.0, 0.05)


def best_of_bins(eta: Array, gaps: Array) -> Array:
    """Choose the best quarter, two at least, of each of five quantile bins of η.

    Args:
        eta: η of the runs.
        gaps: The quantity to minimize.

    Returns:
        Indices of the chosen runs.
    """
    edges = np.quantile(eta, np.arange(1, _BINS) / _BINS)
    bins = np.searchsorted(edges, eta, side="right")
    chosen = []
    for number in np.unique(bins):
        members = np.flatnonzero(bins == number)
        ranked = members[np.argsort(gaps[members], kind="stable")]
        chosen.append(ranked[: max(2, round(_BEST * len(members)))])
    return np.concatenate(chosen)


def _check_direction(data: StudyTrials) -> list[Finding]:
    def measure(sample: Sample, case: str) -> list[Finding]:
        above, floor = above_floor(data, sample)
        lack = _lacks_direction(above, case)
        if lack is not None:
            return [lack]
        eta, gaps = above.column("eta"), np.log(floor.gaps(above))
        best = best_of_bins(eta, gaps)
        estimate = fit(gaps[best], eta[best]).estimate(1)
        note = f"{len(best)} best trials; {floor.note}"
        return [assess(_FALLS, above, estimate, case, note, capped=floor.guess)]

    return each_landscape(data.usable(), _lacks_direction, measure)


def _lacks_direction(sample: Sample, case: str) -> Finding | None:
    eta = sample.column("eta")
    needs = [
        Need("trials", len(sample), 20),
        Need("values of η", distinct(eta), 4),
        Need("as span of η", span(eta), 1, grows=False),
    ]
    return too_few(_FALLS, sample, needs, case)


def _check_confounding(data: StudyTrials) -> list[Finding]:
    turning = (
        data.stationary()
        .keep("integrator is sync", lambda run: run.measured.sync == 0)
        .keep("ν = 0", lambda run: run.nu > 0)
        .keep("η = 1", lambda run: run.eta > 1)
    )
    return each_landscape(turning, _lacks_confounding, partial(_effects_of_nu, data))


def _lacks_confounding(sample: Sample, case: str) -> Finding | None:
    needs = [
        Need("stationary trials of Algorithm 1", len(sample), 30),
        Need("as span of λ", span(sample.column("cosine")), 0.3, grows=False),
    ]
    return too_few(_WITH_EFFECTIVE, sample, needs, case)


def _effects_of_nu(data: StudyTrials, sample: Sample, case: str) -> list[Finding]:
    above, floor = above_floor(data, sample)
    gaps, nu = np.log(floor.gaps(above)), np.log(above.column("nu"))
    found = []
    for claim, name in ((_WITH_ETA, "eta"), (_WITH_EFFECTIVE, "eta_eff")):
        estimate = fit(gaps, np.log(above.column(name) - 1), nu).estimate(2)
        found.append(assess(claim, above, estimate, case, floor.note, capped=floor.guess))
    first, second = found
    # That ν does nothing at fixed η is no case against η_eff; only the second slope refutes.
    if first.verdict is Verdict.REFUTED:
        first = replace(first, verdict=Verdict.INCONCLUSIVE)
    return [first, second]


CHECKS = (
    Check(
        "S1",
        Relation("larger η lowers the reached loss if Fmin > F0", "§2, eq. 4"),
        "the 95 % interval of the slope is below 0; the best quarter by tail mean of each of 5 "
        "quantile bins of η; at least 20 trials, 4 values of η, 1 as span of η",
        _check_direction,
        Subject.STUDY,
        needs=ECD,
        measured=True,
        options=F_MIN,
    ),
    Check(
        "S4",
        Relation(
            "under Algorithm 1 ν lowers the loss only through η_eff",
            "theory: Algorithm 1",
        ),
        "stationary trials of s = 0; the 95 % interval of the slope of log ν is below 0 with "
        "log(η−1), and within 0 ± 0.05 with log(η_eff−1); only the latter can refute; at least 30 "
        "trials, 0.3 as span of λ",
        _check_confounding,
        Subject.STUDY,
        needs=ECD,
        measured=True,
        options=F_MIN,
    ),
)
