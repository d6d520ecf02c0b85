"""The frozen values that travel between the layers.

One direction: a :class:`Lease` leaves the store, an :class:`Outcome` comes back, and a
:class:`TrialRecord` is what analysis and report read. Nothing here imports torch, Optuna or
a database.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from ecd_tune.text import printable

__all__ = [
    "METRIC",
    "Cause",
    "Curve",
    "Direction",
    "Lease",
    "Origin",
    "Outcome",
    "Params",
    "RunCost",
    "RunRequest",
    "Rung",
    "Scalar",
    "Stage",
    "Status",
    "StudyKey",
    "TrialRecord",
    "TrialState",
    "Trials",
]

METRIC = "metric"
"""Name of the curve that pruners see while the run continues: the metric, or the loss."""

Scalar = float | int | bool | str
Params = Mapping[str, Scalar]


class Direction(StrEnum):
    """Whether a smaller or a larger value is better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    @property
    def sign(self) -> int:
        """+1 for minimize, -1 for maximize: ``sign * value`` is always to be made small."""
        return 1 if self is Direction.MINIMIZE else -1


class Stage(StrEnum):
    """The stages of a study: search, run the best trials again, confirm the chosen one."""

    SEARCH = "search"
    SELECT = "select"
    """As the search, under other seeds; only where the study asks for it."""
    CONFIRM = "confirm"


class Status(StrEnum):
    """How the evaluation of one trial ended."""

    COMPLETE = "complete"
    DIVERGED = "diverged"
    """The loss left the finite numbers; ``value`` is the best finite one before that."""
    PRUNED = "pruned"
    FAILED = "failed"
    """There is no value at all: an exception, or a first loss that is NaN or infinite."""


class Cause(StrEnum):
    """Why a run ended; stored with it."""

    COMPLETE = "complete"
    """It is complete."""
    PRUNED = "pruned"
    """A pruner ended it; Optuna's state PRUNED may also mean that it diverged."""
    DIVERGED = "diverged"
    """The loss left the finite numbers after a finite one."""
    NON_FINITE = "non_finite"
    """Not even the first loss was finite."""
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    """It took longer than a trial of its study may."""
    EXCEPTION = "exception"
    """Any other exception."""
    LOST = "lost"
    """Its worker did not renew the lease in time."""
    RELEASED = "released"
    """Its worker released it because of a stop signal or its own exit."""
    KILLED = "killed"
    """Its worker's process has ended."""
    PROMOTED = "promoted"
    """It was paused at a rung of successive halving, and another attempt continues it."""
    INVALID = "invalid"
    """Someone took its result out, because it is wrong."""


_CAUSES: Mapping[Status, tuple[Cause, ...]] = {
    Status.COMPLETE: (Cause.COMPLETE,),
    Status.DIVERGED: (Cause.DIVERGED,),
    Status.PRUNED: (Cause.PRUNED,),
    Status.FAILED: (
        Cause.EXCEPTION,
        Cause.OUT_OF_MEMORY,
        Cause.TIMEOUT,
        Cause.NON_FINITE,
    ),
}
"""Allowed causes by status; the first is the default."""


class TrialState(StrEnum):
    """Optuna's states of a stored trial, by Optuna's names."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"
    WAITING = "WAITING"

    @property
    def finished(self) -> bool:
        """True for COMPLETE, PRUNED and FAIL."""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class StudyKey:
    """Names one Optuna study: (study, optimizer) and the stage.

    Attributes:
        study: Name of the study, as in its file.
        optimizer: Key of the optimizer in that file; of its further searches with ``#2`` and so on.
        stage: Search, selection or confirmation.
    """

    study: str
    optimizer: str
    stage: Stage = Stage.SEARCH

    @property
    def name(self) -> str:
        """Optuna's study name: ``study/optimizer``, then ``/select`` or ``/confirm``."""
        base = f"{self.study}/{self.optimizer}"
        return base if self.stage is Stage.SEARCH else f"{base}/{self.stage.value}"

    @property
    def data_stage(self) -> Stage:
        """Which data its runs see: those of a selection are runs of the search once more."""
        return Stage.SEARCH if self.stage is Stage.SELECT else self.stage


@dataclass(frozen=True)
class Curve:
    """A quantity against the step; thinned on a logarithmic grid when long.

    Attributes:
        steps: Increasing step numbers (iterations or epochs), 0 is the start.
        values: One value per step; may contain NaN or infinity.
    """

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class RunCost:
    """Costs of one trial.

    Attributes:
        seconds: Wall time, in seconds; a trial of a batch carries its share of the batch.
        device: For example ``"cpu"`` or ``"cuda:0"``.
        energy_kwh: Energy, in kWh; None where it was not counted.
        energy_source: Source of the energy: ``"RAPL"``, ``"NVML + RAPL"`` and the like where it was
            measured, ``"TDP"`` where it is power × time; empty where not counted.
        carbon_kg: kg of CO₂ equivalent, at the intensity stated when it ran; None as above.
    """

    seconds: float = 0.0
    device: str = "cpu"
    energy_kwh: float | None = None
    energy_source: str = ""
    carbon_kg: float | None = None


@dataclass(frozen=True)
class Origin:
    """Which data and which code a trial was run with; digests are 16 digits of a SHA-256.

    Attributes:
        data: Digest of the data that it learns from; empty where none are read, or not known.
        version: Version of ecd_tune.
        commit: Of the git repository that holds the task, ``-dirty`` where files differ from it;
            empty where there is none.
        function: Digest of the source of a task of one's own; empty for other tasks.
    """

    data: str = ""
    version: str = ""
    commit: str = ""
    function: str = ""


@dataclass(frozen=True)
class RunRequest:
    """One evaluation that the objective is asked for.

    Attributes:
        params: Hyperparameters of the optimizer, by name.
        seed: Seeds everything random in this run: data order, start point, noise.
        stage: Search runs see the validation data only, confirmation runs the test data once.
        until: Epoch after which the run is paused, its state saved; None: it goes to its end.
    """

    params: Params
    seed: int
    stage: Stage = Stage.SEARCH
    until: int | None = None


@dataclass(frozen=True)
class Rung:
    """A rung of successive halving: trials are compared there, and the best continue.

    Attributes:
        bracket: Number of its bracket.
        number: Its number in the bracket, from 0.
        reduction: One of so many trials continues.
    """

    bracket: int
    number: int
    reduction: int


@dataclass(frozen=True)
class Outcome:
    """Result of one evaluation.

    Attributes:
        status: How it ended.
        value: The study's metric; finite, or None when there is none.
        metrics: Further numbers by name, for example ``final``, ``test_accuracy``; JSON-able.
        curves: Quantities against the step by name; :data:`METRIC` is one of them.
        reason: Why it diverged or failed, in words for people; None when complete. Unprintable
            characters are escaped, and a long text is truncated.
        cost: Its costs.
        cause: Why it ended; by default from the status, an exception if it failed.
        trace: Traceback of the exception that ended it, if it should be shown; treated like the
            reason.
        origin: Data and code; None where not known.
        rung: The rung that the run was to reach; a pruned one has reached it. None where it was
            to go to its end.

    Raises:
        ValueError: The value is not finite, a complete outcome has none, or the cause does not
            go with the status.
    """

    status: Status
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    reason: str | None = None
    cost: RunCost = field(default_factory=RunCost)
    cause: Cause = None  # type: ignore[assignment]  # set below
    trace: str = ""
    origin: Origin | None = None
    rung: Rung | None = None

    def __post_init__(self) -> None:
        if cast("Cause | None", self.cause) is None:
            object.__setattr__(self, "cause", _CAUSES[self.status][0])
        if self.cause not in _CAUSES[self.status]:
            allowed = ", ".join(_CAUSES[self.status])
            raise ValueError(f"Outcome.cause = {self.cause}; {self.status} allows {allowed}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(
                f"Outcome.value = {self.value}: must be finite or None; put a reason into reason"
            )
        if self.status is Status.COMPLETE and self.value is None:
            raise ValueError("a complete Outcome needs a value")
        if self.reason is not None:
            # Often the text of a user's exception: storing or printing it must not fail.
            object.__setattr__(self, "reason", printable(self.reason))
        object.__setattr__(self, "trace", printable(self.trace))

    @property
    def curve(self) -> Curve:
        """The curve of the metric; empty where there is none."""
        return self.curves.get(METRIC, Curve())


@dataclass(frozen=True)
class Lease:
    """The right of one worker to run one stored trial until the lease expires.

    Attributes:
        key: The study it belongs to.
        trial_id: Optuna's trial id, unique in the database.
        number: Optuna's trial number, counted from 0 in its study.
        token: Fencing token; a tell with an outdated one is rejected.
        attempt: 1 for the first time that these parameters run.
        request: The evaluation request.
        source: ``"sampler"``, ``"prior"``, ``"queue"``, or for a confirmation where the parameters
            are from.
        promotions: How often successive halving has promoted these parameters.
    """

    key: StudyKey
    trial_id: int
    number: int
    token: int
    attempt: int
    request: RunRequest
    source: str = "sampler"
    promotions: int = 0


@dataclass(frozen=True)
class TrialRecord:
    """One stored trial, as analysis and report see it.

    Attributes:
        key: The study it belongs to.
        number: Optuna's trial number.
        state: Optuna's state.
        value: The metric; for PRUNED the best finite value before the end; else None.
        params: Hyperparameters by name.
        seed: Seed of the run.
        source: As in :class:`Lease`.
        attempt: 1 for the first try.
        lost: True when the run was interrupted and its parameters were queued again: such a
            trial is history, and does not count against the budget.
        metrics: As in :class:`Outcome`.
        curves: As in :class:`Outcome`.
        reason: As in :class:`Outcome`.
        cause: Why it ended; None while it waits or runs, and for trials of plain Optuna.
        cost: As in :class:`Outcome`.
        started: UTC, aware; None while waiting.
        completed: UTC, aware; None until finished.
        worker: ``host:pid`` of the process that ran it, where known.
        origin: Data and code; None until it has ended, and for trials that are older than this.
    """

    key: StudyKey
    number: int
    state: TrialState
    value: float | None
    params: Params
    seed: int | None = None
    source: str = "sampler"
    attempt: int = 1
    lost: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    reason: str | None = None
    cost: RunCost = field(default_factory=RunCost)
    started: datetime | None = None
    completed: datetime | None = None
    worker: str | None = None
    cause: Cause | None = None
    origin: Origin | None = None

    @property
    def curve(self) -> Curve:
        """The curve of the metric; empty where there is none."""
        return self.curves.get(METRIC, Curve())

    @property
    def pruned(self) -> bool:
        """True when a pruner ended it; state PRUNED may also mean that it diverged."""
        return self.cause is Cause.PRUNED

    @property
    def counts(self) -> bool:
        """True when this trial counts against the budget: finished, and not a lost attempt."""
        return self.state.finished and not self.lost

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dictionary, with the study's names flattened in."""
        return {
            "study": self.key.study,
            "optimizer": self.key.optimizer,
            "stage": self.key.stage.value,
            "number": self.number,
            "state": self.state.value,
            "value": self.value,
            "params": dict(self.params),
            "seed": self.seed,
            "source": self.source,
            "attempt": self.attempt,
            "lost": self.lost,
            "metrics": dict(self.metrics),
            "curves": {
                name: {"steps": list(curve.steps), "values": list(curve.values)}
                for name, curve in self.curves.items()
            },
            "reason": self.reason,
            "cause": self.cause.value if self.cause else None,
            "seconds": self.cost.seconds,
            "device": self.cost.device,
            "energy_kwh": self.cost.energy_kwh,
            "energy_source": self.cost.energy_source,
            "carbon_kg": self.cost.carbon_kg,
            "started": self.started.isoformat() if self.started else None,
            "completed": self.completed.isoformat() if self.completed else None,
            "worker": self.worker,
            "data_digest": self.origin and self.origin.data,
            "version": self.origin and self.origin.version,
            "commit": self.origin and self.origin.commit,
            "function_digest": self.origin and self.origin.function,
        }


Trials = Mapping[StudyKey, Sequence[TrialRecord]]
"""The trials of whole studies, by study."""
