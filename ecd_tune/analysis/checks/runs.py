"""The trials of a study for checks: selection and measurements."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ecd_tune.measurements import RunMeasurements
from ecd_tune.records import Direction, Params, Scalar, Stage, TrialRecord, TrialState
from ecd_tune.space import RESOLVED
from ecd_tune.spec import StudySpec
from ecd_tune.theory import Array, bounce_cosine, effective_eta, unit_speed_eta

__all__ = ["ECD", "ECDSEP", "MAX_DRIFT", "CheckedRun", "Sample", "StudyTrials"]

ECD = ("lr", "eta", "nu")
"""The hyperparameters that make an optimizer ECDSep or, at unit speed, ECDq1."""
ECDSEP = (*ECD, "s")
"""The hyperparameters that make an optimizer ECDSep."""

MAX_DRIFT = 0.05
"""Drift of the mean log gap from which a run is not stationary."""
_MAX_HAZARD = 0.01


@dataclass(frozen=True)
class StudyTrials:
    """The data of a check on a study.

    Attributes:
        spec: The study.
        optimizer: Key of the optimizer.
        records: Its trials of the search.
        options: Options of the check in the study file.
        others: For a check of several studies, those that it is compared with.
        tuned: Whether it fine-tunes a network, for such a check.
    """

    spec: StudySpec
    optimizer: str
    records: Sequence[TrialRecord]
    options: Mapping[str, Scalar] = field(default_factory=dict)
    others: tuple[StudyTrials, ...] = ()
    tuned: bool = False

    @property
    def direction(self) -> Direction:
        """Whether a smaller or a larger value is better."""
        return self.spec.task_def.direction

    def ended(self) -> Sample:
        """Return the trials that ended by themselves, diverged and failed ones among them."""
        runs = tuple(
            CheckedRun(record, self._params(record), self.spec.steps(Stage.SEARCH))
            for record in self.records
            if record.counts
        )
        return Sample(runs, {}).keep("pruned", lambda run: not run.record.pruned)

    def finished(self) -> Sample:
        """Return the completed trials, measured or not."""
        states = {"diverged": TrialState.PRUNED, "failed": TrialState.FAIL}
        sample = self.ended()
        for reason, state in states.items():
            sample = sample.keep(reason, lambda run, state=state: run.record.state is not state)  # type: ignore[misc]
        return sample

    def measured(self) -> Sample:
        """Return the completed trials with measurements."""
        return self.finished().keep("not measured", lambda run: run.seen is not None)

    def usable(self) -> Sample:
        """Return the measured trials of given Δt, η, ν, F0 with hazards in at most 1 % of steps."""
        return (
            self.measured()
            .keep("Δt, η, ν or F0 set during the run", lambda run: run.given)
            .keep(
                "hazards in more than 1 % of the steps",
                lambda run: run.measured.share_hazard <= _MAX_HAZARD,
            )
        )

    def stationary(self) -> Sample:
        """Return the usable trials to which the law of constant energy on a plateau applies."""
        return self.usable().stationary()

    def turning(self) -> Sample:
        """Return the usable trials whose momentum is turned at random."""
        return self.usable().keep("ν = 0", lambda run: run.nu > 0)

    def _params(self, record: TrialRecord) -> Params:
        """Return all hyperparameters of a trial: searched, resolved, and the defaults."""
        declared = self.spec.optimizers[self.optimizer].definition.hyperparameters
        defaults = {k: h.default for k, h in declared.items() if h.default is not None}
        resolved = {
            name: record.metrics[RESOLVED + name]
            for name in declared
            if RESOLVED + name in record.metrics
        }
        return {**defaults, **record.params, **resolved}


@dataclass(frozen=True)
class CheckedRun:
    """One trial that ended by itself.

    Attributes:
        record: As stored.
        params: All its hyperparameters, defaults included.
        epochs: Length of the run in the task's unit.
    """

    record: TrialRecord
    params: Params
    epochs: int

    @cached_property
    def seen(self) -> RunMeasurements | None:
        """The measurements, if any."""
        return RunMeasurements.from_metrics(self.record.metrics)

    @property
    def measured(self) -> RunMeasurements:
        """The measurements of a measured run."""
        assert self.seen is not None  # samples of measured runs contain no other
        return self.seen

    @property
    def given(self) -> bool:
        """Whether Δt, η, ν and F0, where the trial names them, are numbers and not ``"auto"``."""
        return not any(isinstance(self.record.params.get(k), str) for k in (*ECDSEP, "F0"))

    def loss_score(self, direction: Direction) -> float:
        """Return the metric as a number to be small; infinity where the trial has no value."""
        if self.record.state is not TrialState.COMPLETE or self.record.value is None:
            return math.inf
        return direction.sign * self.record.value

    @property
    def lr(self) -> float:
        """Step size Δt."""
        return float(self.params["lr"])

    @property
    def eta(self) -> float:
        """η."""
        return float(self.params["eta"])

    @property
    def nu(self) -> float:
        """Chaos strength ν of a measured run."""
        given = float(self.params["nu"])  # ν̂ = ν√n at unit speed
        return given / math.sqrt(self.measured.n) if self.measured.unit_speed else given

    @cached_property
    def cosine(self) -> float:
        """λ(n, ν), as predicted."""
        return float(bounce_cosine(self.measured.n, self.nu))

    @cached_property
    def eta_eff(self) -> float:
        """The exponent that the integrator samples with."""
        integrator = "sync" if self.measured.sync else "algorithm1"
        effective = unit_speed_eta if self.measured.unit_speed else effective_eta
        return float(effective(self.eta, self.measured.n, self.nu, integrator))

    @property
    def scale(self) -> float:
        """η_eff − 1 − 2/n, to which the plateau is inverse."""
        return self.eta_eff - 1 - 2 / self.measured.n

    @property
    def full_batch(self) -> bool:
        """Whether each step saw all data: one step per epoch, or no data at all."""
        return self.measured.steps <= self.epochs


@dataclass(frozen=True)
class Sample:
    """The runs that a check uses, and why others are excluded.

    Attributes:
        runs: Those that do.
        excluded: Number of the others, by why.
    """

    runs: tuple[CheckedRun, ...]
    excluded: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[CheckedRun]:
        return iter(self.runs)

    @property
    def total(self) -> int:
        """Finished trials, taking part or not."""
        return len(self.runs) + sum(self.excluded.values())

    def keep(self, otherwise: str, test: Callable[[CheckedRun], bool]) -> Sample:
        """Exclude runs.

        Args:
            otherwise: Why those are left out that fail.
            test: The filters.

        Returns:
            The smaller sample.
        """
        kept = tuple(run for run in self.runs if test(run))
        gone = len(self.runs) - len(kept)
        excluded = Counter(self.excluded) + Counter({otherwise: gone})
        return Sample(kept, dict(excluded))

    def split(self, key: Callable[[CheckedRun], Any], otherwise: str) -> dict[Any, Sample]:
        """Split into samples of runs with the same key, the largest first.

        Args:
            key: The values that are equal within a sample.
            otherwise: Why a run of another sample is left out of this one.

        Returns:
            Key to sample; one empty sample under None where there is no run.
        """
        keys = Counter(map(key, self.runs))
        if not keys:
            return {None: self}
        return {
            value: self.keep(otherwise, lambda run, value=value: key(run) == value)  # type: ignore[misc]
            for value, _ in keys.most_common()
        }

    def stationary(self) -> Sample:
        """Return the runs to which the law of constant energy on a plateau applies: s = 0."""
        return (
            self.keep("s = 1", lambda run: run.measured.s == 0)
            .keep("energy not conserved", lambda run: run.measured.conserve_energy == 1)
            .keep(f"drift ≥ {MAX_DRIFT}", lambda run: run.measured.drift < MAX_DRIFT)
        )

    def loss_score(self, direction: Direction) -> Array:
        """Return the metric of all runs as numbers to be small."""
        return np.array([run.loss_score(direction) for run in self.runs], dtype=np.float64)

    def column(self, name: str) -> Array:
        """Return a number of all runs: of the run itself, or a measurement."""
        return np.array([_look(run, name) for run in self.runs], dtype=np.float64)


def _look(run: CheckedRun, name: str) -> float:
    return float(getattr(run, name) if hasattr(CheckedRun, name) else getattr(run.measured, name))
