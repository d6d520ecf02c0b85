"""The lowest loss of a study, and the samples with a single lowest loss.

Laws of the plateau hold for runs of one loss function, so runs with another F0 or weight decay are
evaluated separately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ecd_tune.analysis.checks.assess import Need, distinct, span
from ecd_tune.analysis.checks.fits import Fit, fit
from ecd_tune.analysis.checks.model import Finding
from ecd_tune.analysis.checks.runs import CheckedRun, Sample, StudyTrials
from ecd_tune.registry import Hyperparameter
from ecd_tune.theory import Array

__all__ = [
    "F_MIN",
    "Floor",
    "advice",
    "each_landscape",
    "above_floor",
    "find_floor",
    "harmonic_fit",
    "landscapes",
    "stationary_needs",
]

F_MIN = {"F_min": Hyperparameter(float, "lowest loss, if known")}
"""The option of checks that need the lowest loss."""
_MINIBATCHES = "minibatches; the law is for full batches"
_EXTRA_ERROR = 0.01
"""Relative error of a tail mean beyond its standard error."""
_LEAST_RUNS, _LEAST_EXPONENTS, _LEAST_SPAN = 12, 4, 0.2


@dataclass(frozen=True)
class Floor:
    """The lowest loss, F̂min.

    Attributes:
        value: F̂min.
        origin: Its origin.
        guess: Whether it is too rough to found a verdict on.
    """

    value: float
    origin: str
    guess: bool = False

    @property
    def note(self) -> str:
        """Value and origin in words."""
        return f"F̂min = {self.value:.4g}, {self.origin}"

    def gaps(self, sample: Sample) -> Array:
        """Return F − F̂min of the tail means of runs."""
        return sample.column("tail_loss") - self.value


def landscapes(sample: Sample) -> list[tuple[str, Sample]]:
    """Split runs by landscape: F0 and weight decay are the same in each part.

    Args:
        sample: The runs.

    Returns:
        What the runs of a part have in common (empty where there is one part), and the part; the
        largest first.
    """
    parts = sample.split(_landscape, "other F0 or weight decay")
    return [
        (f"F0={key[0]:g} wd={key[1]:g}" if len(parts) > 1 else "", part)
        for key, part in parts.items()
    ]


def each_landscape(
    sample: Sample,
    lack: Callable[[Sample, str], Finding | None],
    measure: Callable[[Sample, str], list[Finding]],
) -> list[Finding]:
    """Assess the runs of each landscape.

    Args:
        sample: The runs.
        lack: From runs and what they have in common (empty where that is true of all) to what
            they are too few for.
        measure: From the same to findings, of runs that are enough.

    Returns:
        The findings; where F0 or weight decay is searched and no landscape has enough runs, what
        the largest one lacks.
    """
    found: list[Finding] = []
    small: list[Finding] = []
    for case, part in landscapes(sample):
        missing = lack(part, case)
        if missing is None:
            found += measure(part, case)
        else:
            small.append(missing)
    return found or small[:1]


def _landscape(run: CheckedRun) -> tuple[float, float]:
    return run.measured.F0, run.measured.weight_decay


def advice(sample: Sample) -> str:
    """Return why a law of full batches is only advisory here; empty if it is not."""
    return "" if all(run.full_batch for run in sample) else _MINIBATCHES


def stationary_needs(sample: Sample) -> list[Need]:
    """Return what S2 and S3 need of stationary runs."""
    inverse = 1 / sample.column("eta_eff")
    return [
        Need("stationary trials", len(sample), _LEAST_RUNS),
        Need("values of η_eff", distinct(inverse), _LEAST_EXPONENTS),
        Need("as span of 1/η_eff", span(inverse), _LEAST_SPAN, grows=False),
    ]


def harmonic_fit(sample: Sample) -> Fit:
    """Fit ⟨1/(F−F0)⟩ = A (1 − 1/η_eff) without a constraint between slope and intercept."""
    mean, error = sample.column("tail_inverse_gap"), sample.column("tail_inverse_gap_se")
    total = np.hypot(error, _EXTRA_ERROR * mean)
    return fit(mean, 1 / sample.column("eta_eff"), errors=total)


def find_floor(data: StudyTrials, sample: Sample) -> Floor:
    """Find the lowest loss: known, else F0 + 1/A of the harmonic law, else guessed.

    Args:
        data: The study; its option ``F_min`` is the known one.
        sample: Runs of one landscape.

    Returns:
        The floor.
    """
    if "F_min" in data.options:
        return Floor(float(data.options["F_min"]), "known")
    still = sample.stationary()
    if all(need.met for need in stationary_needs(still)):
        intercept = float(harmonic_fit(still).coefficients[0])
        if intercept > 0:
            return Floor(still.runs[0].measured.F0 + 1 / intercept, "from the harmonic law")
    lowest = sample.runs[int(sample.column("tail_loss").argmin())].measured
    gap = lowest.tail_loss - lowest.F0
    return Floor(lowest.F0 + 0.98 * gap, "guessed from the lowest tail mean", guess=True)


def above_floor(data: StudyTrials, sample: Sample) -> tuple[Sample, Floor]:
    """Find the lowest loss of a landscape, and the runs that stayed above it.

    Args:
        data: As of :func:`find_floor`.
        sample: As of :func:`find_floor`.

    Returns:
        The runs whose tail mean has a logarithm, and the floor.
    """
    floor = find_floor(data, sample)
    return sample.keep("at or below F̂min", lambda run: run.measured.tail_loss > floor.value), floor
