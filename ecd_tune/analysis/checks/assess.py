"""From an estimate to a finding: the claim, the sample that it needs, and the trials that lack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecd_tune.analysis.checks.model import Finding, Verdict
from ecd_tune.analysis.checks.rules import (
    BOUND_STEPS,
    Estimate,
    bound_finding,
    range_verdict,
    units_needed,
)
from ecd_tune.analysis.checks.runs import Sample
from ecd_tune.theory import Array

__all__ = [
    "Prediction",
    "Need",
    "distinct",
    "assess",
    "assess_bound",
    "near",
    "negative",
    "span",
    "too_few",
]


@dataclass(frozen=True)
class Prediction:
    """Prediction for a statistic.

    Attributes:
        statistic: Its name.
        predicted: The value predicted, or the bound.
        least: Lower end of the range that supports the claim.
        most: Upper end.
        sense: ``"="`` for a value, ``"<"`` or ``">"`` for a bound.
    """

    statistic: str
    predicted: float
    least: float
    most: float
    sense: str = "="

    def finding(
        self,
        sample: Sample,
        case: str,
        verdict: Verdict,
        measured: float = math.nan,
        ends: tuple[float | None, float | None] = (None, None),
        note: str = "",
        needed: int | None = None,
        advisory: str = "",
    ) -> Finding:
        """Return what was found of the claim; arguments are as of :class:`Finding`."""
        return Finding(
            case,
            self.statistic,
            self.predicted,
            measured,
            *ends,
            verdict,
            len(sample),
            note,
            self.sense,
            needed,
            sample.excluded,
            advisory,
        )


def near(statistic: str, target: float, tolerance: float) -> Prediction:
    """Claim a value.

    Args:
        statistic: Its name.
        target: T₀.
        tolerance: Half width of the allowed range.

    Returns:
        The claim.
    """
    return Prediction(statistic, target, target - tolerance, target + tolerance)


def negative(statistic: str) -> Prediction:
    """Claim that a statistic is negative.

    Args:
        statistic: Its name.

    Returns:
        The claim.
    """
    return Prediction(statistic, 0.0, -math.inf, 0.0, "<")


@dataclass(frozen=True)
class Need:
    """A requirement on the sample of a check.

    Attributes:
        what: For example ``"stationary trials"``.
        have: The available amount.
        least: The required amount.
        grows: Whether more trials of the same kind bring more of it.
    """

    what: str
    have: float
    least: float
    grows: bool = True

    @property
    def met(self) -> bool:
        """Whether there is enough."""
        # A grid from 1 to 2 spans 1 up to rounding.
        return self.have >= self.least * (1 - 1e-9)


def distinct(values: Array) -> int:
    """Return how many values differ by more than rounding."""
    return len({f"{value:.9g}" for value in values})


def span(values: Array) -> float:
    """Return largest minus smallest value; 0 without any."""
    return float(np.ptp(values)) if len(values) else 0.0


def assess(
    claim: Prediction,
    sample: Sample,
    estimate: Estimate,
    case: str,
    note: str = "",
    *,
    advisory: str = "",
    capped: bool = False,
    unit: str = "trials",
) -> Finding:
    """Apply rule R.

    Args:
        claim: The prediction.
        sample: The runs.
        estimate: Measured on them, or on some of them.
        case: The setting.
        note: The required knowledge.
        advisory: Why the finding decides nothing.
        capped: Whether it must not be more than inconclusive.
        unit: Unit of the estimate; only trials are counted up to the study's number.

    Returns:
        The finding, with the number of trials that would decide where these did not.
    """
    verdict = range_verdict(estimate.low, estimate.high, claim.least, claim.most)
    needed, notes = None, [note] if note else []
    if capped:
        verdict = Verdict.INCONCLUSIVE
    elif verdict is Verdict.INCONCLUSIVE:
        units = units_needed(estimate, claim.least, claim.most)
        if not math.isfinite(estimate.error):
            notes.append("too few points for an interval")
        elif units is None:
            notes.append("is at the limit that the rule allows, where no number of trials decides")
        elif unit == "trials":
            needed = math.ceil(units * sample.total / estimate.count)
            notes.append(f"about {needed} trials would decide")
        else:
            notes.append(f"about {units} {unit} would decide")
    ends, text = (estimate.low, estimate.high), "; ".join(notes)
    return claim.finding(sample, case, verdict, estimate.value, ends, text, needed, advisory)


def assess_bound(claim: Prediction, sample: Sample, largest: float) -> Finding:
    """Apply rule B to the steps of all runs.

    Args:
        claim: What is predicted; ``most`` is the bound.
        sample: The runs, at least one.
        largest: The largest value in any of them.

    Returns:
        The finding, with the number of trials that would have enough steps where these do not.
    """
    steps = int(sample.column("steps").sum())
    excess = (largest - claim.most) / abs(claim.most)
    found = bound_finding("", claim.statistic, largest, claim.most, excess, steps)
    needed, note = None, f"{steps} steps"
    if found.verdict is Verdict.INCONCLUSIVE:
        needed = math.ceil(BOUND_STEPS / steps * sample.total)
        note += f"; about {needed} trials would have {BOUND_STEPS}"
    return replace(found, samples=len(sample), note=note, needed=needed, excluded=sample.excluded)


def too_few(
    claim: Prediction, sample: Sample, needs: Sequence[Need], case: str, *, advisory: str = ""
) -> Finding | None:
    """Return a finding about an insufficient sample, if it is one.

    Args:
        claim: The prediction.
        sample: The runs.
        needs: The requirements of the check.
        case: The setting.
        advisory: Why the finding decides nothing.

    Returns:
        An inconclusive finding, with the number of trials that would have what grows with their
        number, if it can be estimated; None if nothing is missing.
    """
    unmet = [need for need in needs if not need.met]
    if not unmet:
        return None
    if not len(sample):
        unmet = unmet[:1]  # the others fail because of this one
    notes = [f"needs {need.least:g} {need.what}, has {need.have:.3g}" for need in unmet]
    growing = [need for need in unmet if need.grows]
    needed = None
    if growing and all(need.have or not sample.total for need in growing):
        shares = [n.have / sample.total if sample.total else 1.0 for n in growing]
        needed = max(math.ceil(n.least / share) for n, share in zip(growing, shares, strict=True))
        if any(need.what != "trials" for need in growing):
            notes.append(f"about {needed} trials would be sufficient")
    note = "; ".join(notes)
    return claim.finding(
        sample, case, Verdict.INCONCLUSIVE, note=note, needed=needed, advisory=advisory
    )
