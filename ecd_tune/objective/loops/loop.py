"""Run one trial of a task that keeps its own loop.

Between two epochs the state is copied, and an interrupted run restarts at the interrupted epoch.
Random numbers of an epoch follow from the seed and its number, so the repeated epoch gives the same
result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, Protocol

import numpy as np
import torch
from torch import Tensor

from ecd_tune.errors import NonFiniteLossError, TaskError
from ecd_tune.objective.checkpoints.checkpoint import Callbacks
from ecd_tune.objective.checkpoints.interrupt import Stop
from ecd_tune.objective.checkpoints.snapshots import (
    CheckpointTimer,
    DamagedSnapshotError,
    Snapshots,
)
from ecd_tune.objective.loops.kept import Kept
from ecd_tune.objective.loops.loop_steps import (
    Trained,
    check_averaged,
    check_plan,
    fit_to_loop,
    read_number,
    trained_tensors,
)
from ecd_tune.objective.outcomes import nonfinite, optimizer_metrics, paused_after
from ecd_tune.objective.single import MakeOptimizer, RunPlan
from ecd_tune.objective.training.epochs import TRAIN_LOSS
from ecd_tune.objective.training.metric_history import MetricHistory
from ecd_tune.records import METRIC, Cause, Outcome, RunCost, RunRequest, Stage, Status
from ecd_tune.tasks import seed_everything
from ecd_tune.tasks.own.run import Driver

__all__ = ["RunEndedError", "Loop", "LoopTask", "evaluate_loop"]

_LOOK_STEPS = 16
"""Steps on a GPU between two checks of the losses."""


class LoopTask(Protocol):
    """A task that keeps its own loop.

    Attributes:
        metric: Name of its metric.
    """

    metric: str

    def drive(self, seed: int, stage: Stage, driver: Driver) -> None:
        """Run the loop."""


def evaluate_loop(
    task: LoopTask,
    make: MakeOptimizer,
    request: RunRequest,
    plan: RunPlan,
    stop: Stop | None = None,
    snapshots: Snapshots | None = None,
    callbacks: Callbacks | None = None,
) -> Outcome:
    """Run one trial, from the epoch in which it was interrupted where it was.

    Args:
        task: The task.
        make: As for :func:`~ecd_tune.objective.single.evaluate_single`.
        request: Hyperparameters, seed and stage.
        plan: How long it is, and which metric is better.
        stop: Polled at each step of the optimizer.
        snapshots: Where the run is saved at intervals and before it stops.
        callbacks: Callbacks of the run.

    Returns:
        The outcome.

    Raises:
        Interrupted: ``stop`` requested it.
        TaskError: The study asks for what only a task that describes a model can do, or the
            task does not do what a loop must.
    """
    check_plan(plan)
    timer = CheckpointTimer(stop, snapshots, time.perf_counter())
    resume = True
    while True:
        loop = Loop(task.metric, make, request, plan, timer, callbacks or Callbacks(), resume)
        try:
            task.drive(request.seed, request.stage, loop)
        except _RestartError:
            resume = False
            continue
        except RunEndedError:
            pass
        except NonFiniteLossError as error:
            loop.reason = str(error)
        finally:
            loop.kept.close()
        return loop.outcome()


class _RestartError(BaseException):
    """The saved state does not match, and may have been restored in part."""


class RunEndedError(BaseException):
    """The run is to end here; no Exception: no handler in a user's code keeps it."""


class Loop:
    """The state behind one run of a loop.

    Args:
        metric: Name of the metric.
        make: Makes the optimizer.
        request: Hyperparameters, seed and stage.
        plan: How long the run is.
        timer: Looks up at each step.
        callbacks: Callbacks of the run.
        resume: Resume a saved run.
    """

    def __init__(
        self,
        metric: str,
        make: MakeOptimizer,
        request: RunRequest,
        plan: RunPlan,
        timer: CheckpointTimer,
        callbacks: Callbacks,
        resume: bool,
    ) -> None:
        self._metric, self._make, self._request, self._plan = metric, make, request, plan
        self._timer, self._callbacks, self._resume = timer, callbacks, resume
        self.kept, self._optimizers = Kept(), list[torch.optim.Optimizer]()
        self._history, self._unseen = MetricHistory(), list[Tensor]()
        self._losses: list[float] = []
        self._epoch = 0  # the one that is under way, or the last
        self._looping = False
        self._held: dict[str, Any] = {}
        self._best: tuple[int, float, float] | None = None
        self._best_state: list[Any] = []
        self._has_test = False
        self._tested: float | None = None
        self.reason: str | None = None
        self._pruned = False

    # Requests of a run.

    def keep(self, thing: Any) -> None:
        """Save and restore something."""
        self.kept.add(thing)

    def optimizer(self, parameters: Iterable[Any]) -> torch.optim.Optimizer:
        """Create the trial's optimizer, whose step takes the loss for every optimizer.

        Raises:
            TaskError: Nothing that can be trained is given.
        """
        trained = trained_tensors(parameters)
        made = self._make(Trained(trained), self._request.seed, **self._request.params)
        fit_to_loop(made, self.before_step, self._plan.training.clip)
        self._optimizers.append(made)
        return made

    def epochs(self) -> Iterator[int]:
        """Iterate over the remaining epochs.

        Yields:
            Numbers from 1.
        """
        self._begin()
        self._looping = True
        try:
            for epoch in range(self._epoch + 1, self._plan.steps + 1):
                self._start_epoch(epoch)
                yield epoch
                self._end_epoch()
        finally:
            self._looping = False

    def report(self, value: Any, loss: Any) -> None:
        """Record the metric of the epoch.

        Raises:
            NonFiniteLossError: It is NaN or infinite.
            TaskError: It is no number, not the epoch's only one, or not of averaged weights
                where the optimizer keeps some.
        """
        if not self._looping or self._epoch in self._history.get(METRIC):
            raise TaskError(
                "run.report(value): must be called once per epoch, inside `for epoch in "
                "run.epochs():`"
            )
        for optimizer in self._optimizers:
            check_averaged(optimizer)
        number, tie = (
            read_number("report", value),
            math.inf if loss is None else read_number("report", loss),
        )
        if not math.isfinite(number):
            what = f"validation {self._metric}"
            raise NonFiniteLossError(nonfinite(what, number, f"after epoch {self._epoch}"))
        self._history.add(self._epoch, {METRIC: number})
        if self._better(number, tie):
            self._best = self._epoch, number, tie
            if self._request.stage is Stage.CONFIRM:
                self._best_state = self.kept.copy()
        self._callbacks.report(self._epoch, number)

    def test(self, function: Callable[[], Any]) -> None:
        """Evaluate the best epoch on the test split, in a confirmation.

        Raises:
            TaskError: The loop has not ended, or the function returns no number.
        """
        if self._looping:
            raise TaskError("run.test(function): must be called after the loop over run.epochs()")
        self._has_test = True
        if self._request.stage is Stage.CONFIRM and self._best is not None:
            self.kept.load(self._best_state)
            seed_everything(self._request.seed, "test")
            self._tested = read_number("test", function())

    # Between two epochs.

    def before_step(self, loss: Tensor) -> None:
        """Check the loss of a step and the stop signal.

        Args:
            loss: Detached, 0-d.
        """
        self._unseen.append(loss)
        if loss.device.type == "cpu" or len(self._unseen) >= _LOOK_STEPS:
            self._look()
        self._callbacks.on_step(self._epoch - 1, self._plan.steps)
        self._timer.check(self._epoch - 1, lambda: self._held)

    def _begin(self) -> None:
        if not self._optimizers:
            raise TaskError("run.epochs(): create the optimizer first: run.optimizer(parameters)")
        self.kept.check(p for o in self._optimizers for g in o.param_groups for p in g["params"])
        if not self._resume:
            return
        try:
            self._timer.resume(self._load)
        except DamagedSnapshotError as error:
            raise _RestartError from error

    def _start_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        if self._timer.saves:
            self._held = self._state()
        self._timer.check(epoch - 1, lambda: self._held)
        if self._plan.until is not None and epoch > self._plan.until:
            self._timer.save(epoch - 1, lambda: self._held)
            self._prune(paused_after(self._plan.until))
        seed_everything(self._request.seed, "epoch", epoch)
        if epoch == 1:
            self.kept.watch()

    def _end_epoch(self) -> None:
        epoch, reported = self._epoch, self._history.get(METRIC)
        if epoch not in reported:
            raise TaskError(f"epoch {epoch} ended without run.report(value)")
        self.kept.check_used()
        self._look()
        if self._losses:
            self._history.add(epoch, {TRAIN_LOSS: float(np.mean(self._losses))})
            self._losses = []
        reason = self._callbacks.prune() if epoch < self._plan.steps else None
        if reason is not None:
            self._prune(reason)

    def _prune(self, reason: str) -> NoReturn:
        self.reason, self._pruned = reason, True
        raise RunEndedError

    def _better(self, number: float, tie: float) -> bool:
        sign = self._plan.direction.sign
        return self._best is None or (sign * number, tie) < (sign * self._best[1], self._best[2])

    def _look(self) -> None:
        unseen, self._unseen = self._unseen, []
        for loss in torch.stack([u.reshape(()) for u in unseen]).tolist() if unseen else ():
            if not math.isfinite(loss):
                raise NonFiniteLossError(nonfinite("loss", loss, f"in epoch {self._epoch}"))
            self._losses.append(loss)

    # The state between two epochs.

    def _state(self) -> dict[str, Any]:
        return {
            "epoch": self._epoch - 1,
            "kept": self.kept.copy(),
            "optimizers": [Kept.copy_of(o) for o in self._optimizers],
            "tracks": self._history.state_dict(),
            "best": self._best,
            "best_state": self._best_state,
        }

    def _load(self, state: dict[str, Any]) -> int:
        self.kept.load(state["kept"])
        if len(state["optimizers"]) != len(self._optimizers):
            raise ValueError("the number of optimizers differs from the saved one")
        for optimizer, held in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        self._history.load_state_dict(state["tracks"])
        self._best, self._best_state = state["best"], state["best_state"]
        self._epoch = int(state["epoch"])
        values = self._history.get(METRIC)
        if list(values) != list(range(1, self._epoch + 1)):
            raise ValueError(f"epochs {list(values)} evaluated, of {self._epoch}")
        for epoch, value in values.items():
            self._callbacks.report(epoch, value)
        return self._epoch

    def outcome(self) -> Outcome:
        """Make the outcome.

        Raises:
            TaskError: Nothing was reported, or a confirmation cannot evaluate on the test data.
        """
        if not self._optimizers:
            raise TaskError(
                "the task created no optimizer: call run.optimizer(model.parameters()), and train "
                "in "
                "`for epoch in run.epochs():`"
            )
        device = str(self._optimizers[0].param_groups[0]["params"][0].device)
        cost = RunCost(self._timer.seconds, device)
        if self._best is None:
            if self.reason is None:
                raise TaskError("the task ended without run.report(value) in any epoch")
            return Outcome(Status.FAILED, reason=self.reason, cost=cost, cause=Cause.NON_FINITE)
        epoch, value, loss = self._best
        metrics = {f"val_{self._metric}": value, "best_epoch": float(epoch)}
        if math.isfinite(loss):
            metrics["val_loss"] = loss
        for optimizer in self._optimizers:
            report = getattr(optimizer, "report", None)
            metrics |= {} if report is None else optimizer_metrics(report())
        if losses := self._history.get(TRAIN_LOSS):
            metrics[TRAIN_LOSS] = [*losses.values()][-1]
        if self.reason is None:
            self._check_test()
        if self._tested is not None:
            metrics[f"test_{self._metric}"] = self._tested
        ended = Status.PRUNED if self._pruned else Status.DIVERGED
        status = Status.COMPLETE if self.reason is None else ended
        return Outcome(status, value, metrics, self._history.curves(), self.reason, cost)

    def _check_test(self) -> None:
        """Check in the first trial of a search what would fail in all confirmation runs.

        Raises:
            TaskError: They would have no metric to choose by.
        """
        wanted = self._plan.confirms or self._request.stage is Stage.CONFIRM
        if wanted and not self._has_test:
            raise TaskError(
                "a confirmation evaluates on the test data: call run.test(lambda: …) after the "
                "loop, or use confirm=0"
            )
