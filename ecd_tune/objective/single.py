"""Run one trial with an ordinary optimizer: ``step(closure)`` after ``step(closure)``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.checkpoints.checkpoint import Callbacks, CheckpointHandle
from ecd_tune.objective.checkpoints.interrupt import Stop
from ecd_tune.objective.checkpoints.snapshots import (
    CheckpointTimer,
    DamagedSnapshotError,
    Snapshots,
)
from ecd_tune.objective.outcomes import trajectory_outcome
from ecd_tune.objective.training.averaging import Averager, PostHoc, Swa
from ecd_tune.objective.training.batches import Batches
from ecd_tune.objective.training.epoch_store import EpochStore
from ecd_tune.objective.training.epochs import Training
from ecd_tune.objective.training.evaluator import Evaluator
from ecd_tune.objective.training.hardware import prepare_network
from ecd_tune.objective.training.protocols import Protocol, builder, evaluation_split
from ecd_tune.objective.training.schedules import make_lr_factor
from ecd_tune.objective.training.speed import Clock
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.optim.monitoring.run_measurer import RunMeasurer
from ecd_tune.records import Direction, Outcome, RunCost, RunRequest, Stage
from ecd_tune.spec import TrainingSpec
from ecd_tune.tasks import ClosableProblem, Problem, Task

__all__ = ["MakeOptimizer", "RunPlan", "evaluate_single", "make_training"]

_log = logging.getLogger(__name__)

MakeOptimizer = Callable[..., torch.optim.Optimizer]


@dataclass(frozen=True)
class RunPlan:
    """How every run of one optimizer in one stage goes.

    Attributes:
        steps: Length in the task's unit: iterates to evaluate, or epochs.
        direction: Which metric is better; only for problems that have one.
        protocol: Training data and evaluation split, for problems with a metric.
        training: Schedule and the like, for problems that have a metric.
        measure: Measure each run for the checks of the theory, where its optimizer allows it.
        until: Epoch after which the run is paused; None: it runs to its end. Only for problems with
            a metric.
        copies: Returns the handle to which the weights of an epoch are copied, or None.
        confirms: Whether the study has confirmation runs, which evaluate on the test split.
    """

    steps: int
    direction: Direction
    protocol: Protocol = "clean"
    training: TrainingSpec = field(default_factory=TrainingSpec)
    measure: bool = False
    until: int | None = None
    copies: Callable[[int], CheckpointHandle] | None = None
    confirms: bool = False


def evaluate_single(
    task: Task,
    make: MakeOptimizer,
    request: RunRequest,
    plan: RunPlan,
    stop: Stop | None = None,
    snapshots: Snapshots | None = None,
    callbacks: Callbacks | None = None,
) -> Outcome:
    """Run one trial, from its last snapshot on where there is one.

    Args:
        task: The task.
        make: ``make(problem, seed, **hyperparameters) -> torch.optim.Optimizer``.
        request: Hyperparameters, seed and stage.
        plan: How it goes.
        stop: Polled before each step.
        snapshots: Where the run is saved at intervals and before it stops.
        callbacks: Who follows the run, of problems that have a metric.

    Returns:
        The outcome; its cost counts the work before an interruption too.

    Raises:
        Interrupted: ``stop`` requested it.
    """
    timer = CheckpointTimer(stop, snapshots, time.perf_counter())

    def begin() -> Training | _Descent:
        problem = builder(task, plan.protocol)(request.seed, request.stage)
        if isinstance(problem, ClosableProblem):
            ending.callback(problem.close)
        optimizer = make(problem, request.seed, **request.params)
        if problem.metric is None:
            measurer = RunMeasurer(plan.steps) if plan.measure else None
            return _Descent(Stepper(problem, optimizer, measurer=measurer), plan.steps)
        return make_training(problem, optimizer, problem.metric, plan, callbacks or Callbacks())[0]

    with ExitStack() as ending:
        run = begin()
        try:
            timer.resume(run.load_state_dict)
        except DamagedSnapshotError as error:
            _log.warning("checkpoint does not match, restarting the run: %s", error)
            run = begin()
        reason = run.proceed(timer)
        return run.outcome(reason, request.stage, lambda: RunCost(timer.seconds, run.device))


def make_training(
    problem: Problem,
    optimizer: torch.optim.Optimizer,
    metric: str,
    plan: RunPlan,
    callbacks: Callbacks,
    clock: Clock = time.perf_counter,
    advance: Callable[[float | Tensor], None] | None = None,
) -> tuple[Training, Stepper, Evaluator]:
    """Create the training of a problem that has a metric.

    Args:
        problem: The problem.
        optimizer: Its optimizer.
        metric: Evaluates it.
        plan: How the run goes.
        callbacks: Who follows it.
        clock: Of its work.
        advance: Makes its steps in place of the optimizer, as :class:`Stepper` has it.

    Returns:
        The run, its stepper and its evaluator.
    """
    settings = plan.training
    prepare_network(problem, settings)
    batches = Batches(problem, settings.accumulate, settings.precision, settings.second_forward)
    length = batches.steps_per_epoch
    steps = plan.steps * length
    pace = make_lr_factor(settings.schedule, steps, length)
    measurer = RunMeasurer(steps) if plan.measure else None
    diagnose = settings.diagnostics
    stepper = Stepper(problem, optimizer, pace, settings.clip, batches, diagnose, measurer, advance)
    evaluator = Evaluator(problem, batches, metric, plan.direction, evaluation_split(plan.protocol))
    averager = _make_averager(evaluator, plan)
    training = Training(
        stepper, evaluator, plan.steps, settings.eval_every, averager, callbacks, clock, plan.until
    )
    return training, stepper, evaluator


def _make_averager(evaluator: Evaluator, plan: RunPlan) -> Averager | None:
    settings = plan.training.averaging
    if settings is None:
        return None
    if settings.kind == "swa":
        tested = evaluator.split == "test"
        every = settings.every or (plan.training.eval_every if tested else None)
        return Swa(evaluator, settings, plan.steps, every)
    store = EpochStore(settings.max_gib, len(settings.starts(plan.steps)), plan.copies)
    return PostHoc(evaluator, settings, plan.steps, store)


class _Descent:
    """Iterations of a run that is evaluated by its loss at every step."""

    def __init__(self, stepper: Stepper, steps: int) -> None:
        self._stepper, self._steps = stepper, steps

    @property
    def device(self) -> str:
        return self._stepper.device

    def proceed(self, timer: CheckpointTimer) -> str | None:
        """Evaluate all iterates, including the start; return why it ended early."""
        try:
            for number in range(self._stepper.number, self._steps):
                timer.check(number, self.state_dict)
                self._stepper.step()
        except NonFiniteLossError as error:
            return str(error)
        return None

    def outcome(self, reason: str | None, stage: Stage, cost: Callable[[], RunCost]) -> Outcome:
        """Make the outcome, the same for both stages."""
        losses = np.array(self._stepper.losses)
        measured = {} if reason else self._stepper.measured()
        return trajectory_outcome(losses, reason, cost(), self._stepper.report() | measured)

    def state_dict(self) -> dict[str, Any]:
        return {"stepper": self._stepper.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> int:
        self._stepper.load_state_dict(state["stepper"])
        return self._stepper.number
