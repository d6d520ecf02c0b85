"""Run one trial with an ordinary optimizer: ``step(closure)`` after ``step(closure)``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.interrupt import Stop, check_stop
from ecd_tune.objective.outcomes import nonfinite, optimizer_metrics, trajectory_outcome
from ecd_tune.records import Curve, Direction, Outcome, RunCost, RunRequest, Stage, Status
from ecd_tune.tasks import Problem, Task

__all__ = ["MakeOptimizer", "evaluate_single"]

MakeOptimizer = Callable[..., torch.optim.Optimizer]


def evaluate_single(
    task: Task,
    make: MakeOptimizer,
    request: RunRequest,
    steps: int,
    direction: Direction,
    stop: Stop | None = None,
) -> Outcome:
    """Run one trial.

    Args:
        task: The task.
        make: ``make(params, seed, **hyperparameters) -> torch.optim.Optimizer``.
        request: Hyperparameters, seed and stage.
        steps: Length in the task's unit: iterates to evaluate, or epochs.
        direction: Which metric is better; only for problems that have one.
        stop: Polled every few steps.

    Returns:
        The outcome.

    Raises:
        Interrupted: ``stop`` said so.
    """
    began = time.perf_counter()
    problem = task.build(request.seed, request.stage)
    optimizer = make(problem.parameters, request.seed, **request.params)
    run = _Run(problem, optimizer, stop)
    device = str(problem.parameters[0].device)
    if problem.metric is None:
        reason = run.descend(steps)
        cost = RunCost(time.perf_counter() - began, device)
        return trajectory_outcome(np.array(run.losses), reason, cost, run.report())
    training = _Training(run, problem.metric, direction)
    reason = training.train(steps)
    tested = training.test() if request.stage is Stage.CONFIRM else {}
    cost = RunCost(time.perf_counter() - began, device)
    return training.outcome(reason, tested, cost)


@dataclass
class _Run:
    """A problem with its optimizer.

    Attributes:
        problem: The problem.
        optimizer: Its optimizer.
        stop: Polled every few steps.
        losses: Loss of each step so far.
    """

    problem: Problem
    optimizer: torch.optim.Optimizer
    stop: Stop | None
    losses: list[float] = field(default_factory=list)

    def step(self) -> None:
        """Make one step.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite; nothing was changed.
        """
        number = len(self.losses)
        check_stop(self.stop, number)
        seen: list[float] = []

        def closure() -> Tensor:
            loss = self.problem.closure(number)
            seen.append(float(loss))
            # Before the optimizer can spread it: not all of them look at the loss.
            if not math.isfinite(seen[-1]):
                raise NonFiniteLossError(nonfinite("loss", seen[-1], f"at iteration {number}"))
            return loss

        self.optimizer.step(closure)  # type: ignore[arg-type]  # torch says float, means Tensor
        self.losses.append(seen[0])

    def descend(self, steps: int) -> str | None:
        """Evaluate ``steps`` iterates, the start included.

        Returns:
            Why it ended early, or None.
        """
        try:
            for _ in range(steps):
                self.step()
        except NonFiniteLossError as error:
            return str(error)
        return None

    def report(self) -> dict[str, float]:
        """Return the optimizer's counters, if it has any."""
        report = getattr(self.optimizer, "report", None)
        return optimizer_metrics(report()) if report is not None else {}


class _Training:
    """Epochs of a run, judged on the validation split after each.

    Epoch 0 is the state before training. It takes part in the choice of the best epoch, so
    that a run which diverges at once still has a value.
    """

    def __init__(self, run: _Run, metric: str, direction: Direction) -> None:
        self._run, self._metric, self._sign = run, metric, direction.sign
        self._values: list[float] = []
        self._best: Mapping[str, float] = {}
        self._best_epoch = -1
        self._best_parameters: list[Tensor] = []
        self._train_loss = math.nan

    def train(self, epochs: int) -> str | None:
        """Train for ``epochs`` epochs.

        Returns:
            Why it ended early, or None.
        """
        try:
            self._judge(0)
            for epoch in range(1, epochs + 1):
                self._run_epoch()
                self._judge(epoch)
        except NonFiniteLossError as error:
            return str(error)
        return None

    def test(self) -> dict[str, float]:
        """Judge the parameters of the best epoch on the test split.

        Returns:
            ``test_accuracy``, ``test_loss`` and so on; nothing where no epoch is the best.
        """
        if self._best_epoch < 0:
            return {}
        with torch.no_grad():
            for parameter, best in zip(
                self._run.problem.parameters, self._best_parameters, strict=True
            ):
                parameter.copy_(best)
        return {f"test_{k}": v for k, v in self._run.problem.evaluate("test").items()}

    def outcome(self, reason: str | None, tested: Mapping[str, float], cost: RunCost) -> Outcome:
        """Make the outcome.

        Returns:
            COMPLETE; DIVERGED when there is a reason; FAILED when no epoch has a value.
        """
        if self._best_epoch < 0:
            return Outcome(Status.FAILED, reason=reason, cost=cost)
        metrics = {f"val_{k}": v for k, v in self._best.items()}
        metrics |= {"best_epoch": float(self._best_epoch), **tested, **self._run.report()}
        if math.isfinite(self._train_loss):
            metrics["train_loss"] = self._train_loss
        return Outcome(
            status=Status.COMPLETE if reason is None else Status.DIVERGED,
            value=self._best[self._metric],
            metrics=metrics,
            curve=Curve(tuple(range(len(self._values))), tuple(self._values)),
            reason=reason,
            cost=cost,
        )

    def _run_epoch(self) -> None:
        steps = self._run.problem.steps_per_epoch
        for _ in range(steps):
            self._run.step()
        self._train_loss = float(np.mean(self._run.losses[-steps:]))

    def _judge(self, epoch: int) -> None:
        judged = self._run.problem.evaluate("val")
        for name, value in judged.items():
            if not math.isfinite(value):
                raise NonFiniteLossError(
                    nonfinite(f"validation {name}", value, f"after epoch {epoch}")
                )
        value = judged[self._metric]
        self._values.append(value)
        if self._best_epoch < 0 or self._sign * value < self._sign * self._best[self._metric]:
            self._best, self._best_epoch = judged, epoch
            self._best_parameters = [p.detach().clone() for p in self._run.problem.parameters]
