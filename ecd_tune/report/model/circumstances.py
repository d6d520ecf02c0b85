"""Circumstances of the results: search spaces, effort, costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ecd_tune.records import Stage

__all__ = [
    "Cost",
    "CostRow",
    "Effort",
    "EffortRow",
    "SearchedParam",
    "Setup",
    "SpaceRow",
]


@dataclass(frozen=True)
class CostRow:
    """Costs of one optimizer's trials of one stage, or a sum over several.

    Attributes:
        optimizer: Key of the optimizer; None for all of them.
        title: Title in reports.
        stage: The stage; None for both.
        trials: Trials that took time, attempts that were tried again included.
        uncounted: Those of them whose energy is not known, and not in the sum.
        hours: Sum of their wall times.
        energy_kwh: Energy, in kWh; None where that of no trial is known.
        carbon_kg: kg of CO₂ equivalent, before any offset; None as above.
    """

    optimizer: str | None
    title: str
    stage: Stage | None
    trials: int
    uncounted: int
    hours: float
    energy_kwh: float | None
    carbon_kg: float | None


@dataclass(frozen=True)
class Cost:
    """Costs of the study.

    Attributes:
        kg_per_kwh: Carbon intensity that the sums count with.
        origin: Its origin, in words.
        offset: Share of the carbon that the provider offsets.
        sources: Number of trials by the source of their energy.
        recorded_kg: Sum of the values recorded by the trials, perhaps at another intensity.
        rows: Each optimizer and stage, then each stage, then all.
    """

    kg_per_kwh: float
    origin: str
    offset: float
    sources: Mapping[str, int]
    recorded_kg: float | None
    rows: tuple[CostRow, ...]


@dataclass(frozen=True)
class SpaceRow:
    """One hyperparameter of one optimizer.

    Attributes:
        optimizer: Title of the optimizer.
        name: Hyperparameter.
        allowed: Its range, choices or fixed value, in words.
        searched: False when fixed.
        doc: One line about it.
    """

    optimizer: str
    name: str
    allowed: str
    searched: bool
    doc: str


@dataclass(frozen=True)
class EffortRow:
    """Effort of runs with one set of hyperparameters to the target.

    Attributes:
        label: As tables print it.
        optimizer: Key of the optimizer.
        source: ``"best"`` or a reference's label.
        runs: Confirmed runs.
        reached: How many of them reached the target.
        steps: Median of the steps, runs that did not reach it as infinity.
        seconds: The same in seconds, a run's wall time shared out evenly over its steps.
        memory_mib: Median of the peak memory of whole runs, in MiB; None where not recorded.
    """

    label: str
    optimizer: str
    source: str
    runs: int
    reached: int
    steps: float
    seconds: float
    memory_mib: float | None


@dataclass(frozen=True)
class Effort:
    """Steps, seconds and memory to a target.

    Attributes:
        target: Value of the curve ``"metric"`` that the median run of every optimizer reaches.
        rows: One for each set of hyperparameters with runs.
    """

    target: float
    rows: tuple[EffortRow, ...]


@dataclass(frozen=True)
class SearchedParam:
    """One searched hyperparameter of one optimizer.

    Attributes:
        optimizer: Key of the optimizer.
        name: Hyperparameter.
        log: Whether it was drawn in the logarithm.
        importance: Its share in distinguishing the best tenth of the complete trials (PED-ANOVA);
            the shares of an optimizer sum to 1; None for too few trials.
        fanova: Share of the variance of the ranks of all complete trials that it explains (fANOVA
            on a random forest), also summing to 1: it shows what makes trials fail, while
            ``importance`` shows what makes the best ones.
        good: Smallest and largest value among the best tenth of the complete trials; None for
            what is no number, and for fewer than twenty trials.
        good_share: Share of the searched range that ``good`` spans, of its logarithm where it was
            drawn so: the smaller, the more the result depends on it.
    """

    optimizer: str
    name: str
    log: bool
    importance: float | None
    fanova: float | None
    good: tuple[float, float] | None
    good_share: float | None = None


@dataclass(frozen=True)
class Setup:
    """The search spaces.

    Attributes:
        spaces: Every hyperparameter of every optimizer.
        facts: Budget, sampler, seeds, task options, durations: name to words.
        fingerprints: Optimizer key to the fingerprint of its study.
        environment: Host, processor, versions: name to words.
        started: First start of any trial, UTC.
        ended: Last end of any trial, UTC.
        command: Command line that runs the study again.
    """

    spaces: tuple[SpaceRow, ...]
    facts: Mapping[str, str]
    fingerprints: Mapping[str, str]
    environment: Mapping[str, str]
    started: datetime | None
    ended: datetime | None
    command: str
