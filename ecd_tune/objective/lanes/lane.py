"""One trial of many that are trained together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.checkpoints.checkpoint import Callbacks, CheckpointHandle
from ecd_tune.objective.checkpoints.snapshots import DamagedSnapshotError, Snapshots
from ecd_tune.objective.lanes.row_optimizers import RowOptimizers
from ecd_tune.objective.outcomes import cause_of, failure
from ecd_tune.objective.training.epochs import Training
from ecd_tune.objective.training.evaluator import Evaluator
from ecd_tune.objective.training.speed import Clock
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.records import Cause, Outcome, RunCost, RunRequest
from ecd_tune.tasks import Problem, Split, StackedProblem

__all__ = ["Job", "Lane", "LaneKind"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One trial to run.

    Attributes:
        request: Hyperparameters, seed and stage.
        done: Told the outcome, once.
        callbacks: Callbacks of the run; ``on_step`` is not called.
        handle: Where the run is kept, or None.
    """

    request: RunRequest
    done: Callable[[Outcome], None]
    callbacks: Callbacks = field(default_factory=Callbacks)
    handle: CheckpointHandle | None = None


@dataclass(frozen=True)
class LaneKind:
    """Settings that all lanes share.

    Attributes:
        stack: Lets problems compute together.
        build: Makes the problem of a job.
        begin: Puts together what trains it, in a row of a stack; may raise.
        alone: Runs a job by itself; does not raise but ``Interrupted``.
        split: Evaluates the epochs.
    """

    stack: Callable[[Sequence[Problem]], StackedProblem]
    build: Callable[[RunRequest], Problem]
    begin: Callable[[Job, Problem, int, RowOptimizers, Clock], Lane]
    alone: Callable[[Job], Outcome]
    split: Split


class Lane:
    """One run of many.

    Args:
        job: The job to run.
        training: Its epochs.
        stepper: Its steps.
        evaluator: Evaluates it.
        clock: Of the lane's share of the work.
        finish: Completes the outcome.
        snapshots: Where the run is saved, or None.

    Attributes:
        saved_at: ``time.monotonic()`` when it was saved last, or begun.
    """

    def __init__(
        self,
        job: Job,
        training: Training,
        stepper: Stepper,
        evaluator: Evaluator,
        clock: Clock,
        finish: Callable[[Outcome], Outcome],
        snapshots: Snapshots | None = None,
    ) -> None:
        self.job, self._training, self._stepper, self._evaluator = job, training, stepper, evaluator
        self._clock, self._began, self._finish = clock, clock(), finish
        self._snapshots, self._kept, self.saved_at = snapshots, 0, time.monotonic()
        self._length = stepper.batches.steps_per_epoch
        self._ended: str | None = None
        self._failure: Outcome | None = None

    @property
    def number(self) -> int:
        """Number of the next step."""
        return self._stepper.number

    @property
    def place(self) -> int:
        """Number of the next step in its epoch."""
        return self._stepper.number % self._length

    @property
    def broken(self) -> bool:
        """Whether it ended within an epoch."""
        return self._ended is not None or self._failure is not None

    @property
    def live(self) -> bool:
        """Whether it is to continue."""
        return not self.broken and not self._training.over

    @property
    def begun(self) -> bool:
        """Whether the state before training is evaluated."""
        return self._training.begun

    @property
    def ends_evaluated(self) -> bool:
        """Whether the epoch that the last step ended is evaluated."""
        return self._training.ends_evaluated

    def resume(self) -> None:
        """Continue from what was saved, if anything was.

        Raises:
            DamagedSnapshotError: It does not match, and may have been restored in part.
        """
        state = None if self._snapshots is None else self._snapshots.load()
        if state is None:
            return
        try:
            seconds = float(state["seconds"])
            self._kept = self._training.load_state_dict(state["run"])
        except Exception as error:
            raise DamagedSnapshotError(f"{type(error).__name__}: {error}") from error
        self._began -= seconds
        _log.info("resumed at step %d, after %.1f s of work", self._kept, seconds)

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self._snapshots is not None and self.number > self._kept and self._snapshots.due

    def save(self) -> None:
        """Save the state before the next step, unless that is done."""
        lasts = self.live or (self._training.paused and not self.broken)
        if self._snapshots is not None and lasts and self.number > self._kept:
            run = self._training.state_dict()
            self._snapshots.save({"seconds": self._clock() - self._began, "run": run})
            self._kept, self.saved_at = self.number, time.monotonic()

    def begin(self, numbers: Mapping[str, float] | None) -> None:
        """Begin; ``numbers`` are those of the state before training, on the evaluation split."""
        self._evaluator.tell(numbers)
        self._guard(self._training.begin)
        self._evaluator.tell(None)

    def step(self, loss: float | Tensor) -> None:
        """Make a step whose gradient is there; a loss on a GPU is yet to be seen."""
        try:
            if isinstance(loss, float):  # before the optimizer can spread one that is not finite
                self._stepper.see(loss, self._stepper.number)
            self._stepper.take(loss)
        except Exception as error:
            self._end(error)

    def see(self, loss: float, number: int) -> None:
        """Check the loss of a step; steps after the end are ignored."""
        if not self.broken:
            self._guard(lambda: self._stepper.see(loss, number))

    def end_epoch(self, numbers: Mapping[str, float] | None) -> None:
        """Process the end of an epoch; ``numbers`` are those of the evaluation split."""
        self._evaluator.tell(numbers)
        self._guard(self._training.end_step)
        self._evaluator.tell(None)

    def outcome(self) -> Outcome:
        """Return the outcome; a paused run is saved first."""
        self.save()
        if self._failure is None:
            reason, stage = self._ended or self._training.pruned, self.job.request.stage
            try:
                return self._finish(self._training.outcome(reason, stage, self._cost))
            except Exception as error:
                self._fail(error)
        assert self._failure is not None
        return self._failure

    def _cost(self) -> RunCost:
        return RunCost(self._clock() - self._began, self._training.device)

    def _guard(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception) -> None:
        if isinstance(error, NonFiniteLossError):
            self._ended = str(error)
        elif cause_of(error) is Cause.OUT_OF_MEMORY:
            raise error  # it is of all lanes together
        else:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        _log.info("trial failed", exc_info=error)
        self._failure = failure(error, self._cost())
