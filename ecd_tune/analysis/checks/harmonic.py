"""S2 and S3: the harmonic law and the plateau, on a study's stationary runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ecd_tune.analysis.checks.assess import Prediction, assess, near, too_few
from ecd_tune.analysis.checks.fits import fit
from ecd_tune.analysis.checks.floor import (
    F_MIN,
    Floor,
    above_floor,
    advice,
    each_landscape,
    harmonic_fit,
    stationary_needs,
)
from ecd_tune.analysis.checks.model import Check, Finding, Relation, Subject
from ecd_tune.analysis.checks.rules import Estimate
from ecd_tune.analysis.checks.runs import ECD, Sample, StudyTrials

__all__ = ["CHECKS", "plateau"]

_HARMONIC = near("slope/intercept of ⟨1/(F−F0)⟩ on 1/η_eff", -1.0, 0.1)
_LOG_LOG = near("slope of log gap on log(η_eff−1−2/n)", -1.0, 0.15)

_Measured: TypeAlias = tuple[Sample, Estimate, str, bool]
"""The runs used, the estimate, what has to be known of it, and whether it is a guess."""


def _harmonic(data: StudyTrials, sample: Sample) -> _Measured:
    return sample, harmonic_fit(sample).ratio(1, 0), "", False


def _log_log(data: StudyTrials, sample: Sample) -> _Measured:
    above, floor = plateau(data, sample)
    estimate = fit(np.log(floor.gaps(above)), np.log(above.column("scale"))).estimate(1)
    return above, estimate, floor.note, floor.guess


def plateau(data: StudyTrials, sample: Sample) -> tuple[Sample, Floor]:
    """Return the runs of which S3 predicts a gap above the lowest loss, and that loss.

    Args:
        data: The study.
        sample: Stationary runs of one landscape.

    Returns:
        The runs, and the lowest loss.
    """
    above, floor = above_floor(data, sample)
    return above.keep("η_eff ≤ 1 + 2/n", lambda run: run.scale > 0), floor


def _on_plateaus(
    claim: Prediction, measure: Callable[[StudyTrials, Sample], _Measured]
) -> Callable[[StudyTrials], list[Finding]]:
    def lack(sample: Sample, case: str) -> Finding | None:
        needs = stationary_needs(sample)
        return too_few(claim, sample, needs, case, advisory=advice(sample))

    def check(data: StudyTrials) -> list[Finding]:
        def assess_part(sample: Sample, case: str) -> list[Finding]:
            used, estimate, note, guess = measure(data, sample)
            advisory = advice(sample)
            return [assess(claim, used, estimate, case, note, advisory=advisory, capped=guess)]

        return each_landscape(data.stationary(), lack, assess_part)

    return check


CHECKS = (
    Check(
        "S2",
        Relation("⟨1/(F−F0)⟩ = (1 − 1/η_eff)/(Fmin−F0): the harmonic law", "theory: law"),
        "stationary trials of s = 0 (drift < 0.05), weights 1/(se² + (1 %)²); the 95 % interval "
        "of slope/intercept is within −1 ± 0.1; at least 12 trials, 4 values of η_eff, 0.2 as "
        "span "
        "of 1/η_eff",
        _on_plateaus(_HARMONIC, _harmonic),
        Subject.STUDY,
        needs=ECD,
        measured=True,
    ),
    Check(
        "S3",
        Relation("F − Fmin ∝ 1/(η_eff − 1 − 2/n) on the plateau", "theory: law"),
        "the trials of S2; the 95 % interval of the slope is within −1 ± 0.15",
        _on_plateaus(_LOG_LOG, _log_log),
        Subject.STUDY,
        needs=ECD,
        measured=True,
        options=F_MIN,
    ),
)
