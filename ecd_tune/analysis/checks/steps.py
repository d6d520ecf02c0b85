"""S6, S7 and S8: virial, bounce angle and step bound, from each run by itself."""

from __future__ import annotations

import math

import numpy as np

from ecd_tune.analysis.checks.assess import Need, Prediction, assess, assess_bound, near, too_few
from ecd_tune.analysis.checks.floor import advice
from ecd_tune.analysis.checks.model import Check, Finding, Relation, Subject
from ecd_tune.analysis.checks.rules import (
    jackknife,
    mean,
)
from ecd_tune.analysis.checks.runs import ECD, ECDSEP, StudyTrials

__all__ = ["CHECKS"]

_VIRIAL = near("½⟨Θ·G⟩ over η/η_eff", 1.0, 0.05)
_BOUNCE = near("mean cos α / λ(n, ν)", 1.0, 0.01)
_BOUND = Prediction("max |ΔΘ|/Δt", 1.0, -math.inf, 1.0, "≤")


def _check_virial(data: StudyTrials) -> list[Finding]:
    sample = data.stationary()
    advisory = advice(sample)
    lack = too_few(
        _VIRIAL, sample, [Need("stationary trials", len(sample), 8)], "", advisory=advisory
    )
    if lack is not None:
        return [lack]
    shares = sample.column("tail_virial") * sample.column("eta_eff") / sample.column("eta")
    return [assess(_VIRIAL, sample, mean(shares), "", advisory=advisory)]


def _check_bounce(data: StudyTrials) -> list[Finding]:
    sample = data.turning()
    steps = float(sample.column("steps").sum())
    needs = [Need("steps", steps, 1000), Need("trials", len(sample), 2)]
    lack = too_few(_BOUNCE, sample, needs, "")
    if lack is not None:
        return [lack]
    # A ratio of means: at large ν both cosines are near 0, where single ratios are all noise.
    measured, predicted = sample.column("cos_bounce"), sample.column("cosine")
    estimate = jackknife(lambda x, y: float(np.sum(x) / np.sum(y)), measured, predicted)
    return [assess(_BOUNCE, sample, estimate, "")]


def _check_bound(data: StudyTrials) -> list[Finding]:
    # Hazards are irrelevant here: the bound holds for any loss, and they count w > 1 as well.
    sample = data.measured().keep("s = 0", lambda run: run.measured.s == 1)
    lack = too_few(_BOUND, sample, [Need("trials of s = 1", len(sample), 1)], "")
    if lack is not None:
        return [lack]
    return [assess_bound(_BOUND, sample, float(sample.column("max_step_over_lr").max()))]


CHECKS = (
    Check(
        "S6",
        Relation("½⟨Θ·G⟩ = η/η_eff: the virial about the origin", "theory: virial"),
        "stationary trials of s = 0; the 95 % interval of the mean over trials is within 1 ± "
        "0.05; at least 8 trials",
        _check_virial,
        Subject.STUDY,
        needs=ECD,
        measured=True,
    ),
    Check(
        "S7",
        Relation("mean cos α = λ(n, ν): the bounce angle", "eq. 14, 22"),
        "the 95 % interval of the ratio of the means over trials is within 1 ± 0.01; at least "
        "1000 steps",
        _check_bounce,
        Subject.STUDY,
        needs=ECD,
        measured=True,
    ),
    Check(
        "S8",
        Relation("s = 1: a step is never longer than Δt", "theory: speed"),
        "no excess above 1e-9 in any trial of s = 1, and at least 1e5 steps in all trials",
        _check_bound,
        Subject.STUDY,
        needs=ECDSEP,
        measured=True,
    ),
)
