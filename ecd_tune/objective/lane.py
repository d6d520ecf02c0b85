"""One trial of many that are trained together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.checkpoint import Callbacks
from ecd_tune.objective.evaluator import Evaluator
from ecd_tune.objective.outcomes import cause_of, failure
from ecd_tune.objective.row_optimizers import RowOptimizers
from ecd_tune.objective.speed import Clock
from ecd_tune.objective.stepping import Stepper
from ecd_tune.objective.training import Training
from ecd_tune.records import Cause, Outcome, RunCost, RunRequest
from ecd_tune.tasks import Problem, Split, StackedProblem

__all__ = ["Job", "Lane", "LaneKind"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One trial that is to be run.

    Attributes:
        request: Hyperparameters, seed and stage.
        done: Told the outcome, once.
        callbacks: Who follows the run; nobody is told of its steps.
    """

    request: RunRequest
    done: Callable[[Outcome], None]
    callbacks: Callbacks = field(default_factory=Callbacks)


@dataclass(frozen=True)
class LaneKind:
    """What all lanes have in common.

    Attributes:
        stack: Lets problems compute together.
        build: Makes the problem of a job.
        begin: Puts together what trains it, in a row of a stack; may raise.
        alone: Runs a job by itself; does not raise but ``Interrupted``.
        split: What judges the epochs.
    """

    stack: Callable[[Sequence[Problem]], StackedProblem]
    build: Callable[[RunRequest], Problem]
    begin: Callable[[Job, Problem, int, RowOptimizers, Clock], Lane]
    alone: Callable[[Job], Outcome]
    split: Split


class Lane:
    """One run of many.

    Args:
        job: What is run.
        training: Its epochs.
        stepper: Its steps.
        evaluator: Judges it.
        clock: Of the lane's share of the work.
        finish: Completes the outcome.
    """

    def __init__(
        self,
        job: Job,
        training: Training,
        stepper: Stepper,
        evaluator: Evaluator,
        clock: Clock,
        finish: Callable[[Outcome], Outcome],
    ) -> None:
        self.job, self._training, self._stepper, self._evaluator = job, training, stepper, evaluator
        self._clock, self._began, self._finish = clock, clock(), finish
        self._ended: str | None = None
        self._failure: Outcome | None = None
        self._guard(training.begin)

    @property
    def number(self) -> int:
        """Number of the next step."""
        return self._stepper.number

    @property
    def broken(self) -> bool:
        """Whether it ended within an epoch."""
        return self._ended is not None or self._failure is not None

    @property
    def live(self) -> bool:
        """Whether it is to go on."""
        return not self.broken and not self._training.over

    @property
    def ends_judged(self) -> bool:
        """Whether the epoch that the last step has ended is judged."""
        return self._training.ends_judged

    def step(self, loss: float) -> None:
        """Make a step whose gradient is there."""
        self._guard(lambda: self._stepper.take(loss))

    def end_epoch(self, numbers: Mapping[str, float] | None) -> None:
        """Look at the epoch that has ended; ``numbers`` are those of the split that judges."""
        self._evaluator.tell(numbers)
        self._guard(self._training.end_step)
        self._evaluator.tell(None)

    def outcome(self) -> Outcome:
        """Return what came of it."""
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
        except NonFiniteLossError as error:
            self._ended = str(error)
        except Exception as error:
            if cause_of(error) is Cause.OUT_OF_MEMORY:
                raise  # it is of all lanes together
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        _log.info("trial failed", exc_info=error)
        self._failure = failure(error, self._cost())
