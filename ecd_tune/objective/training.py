"""Train by epochs, and judge each of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.outcomes import nonfinite
from ecd_tune.objective.snapshots import Watch
from ecd_tune.objective.stepping import Stepper, copy_into
from ecd_tune.records import Curve, Direction, Outcome, RunCost, Stage, Status
from ecd_tune.tasks import Split, StatefulProblem

__all__ = ["Training"]

_WORDS = {"train": "training", "val": "validation", "test": "test"}


class Training:
    """Epochs of a run, each judged on the split that drives the choices.

    Epoch 0 is the state before training. It takes part in the choice of the best epoch, so
    that a run which diverges at once still has a value.

    Args:
        stepper: The problem with its optimizer.
        metric: What is judged, a key of ``evaluate(split)``.
        direction: Which metric is better.
        report: Called with epoch and metric after each epoch that is judged.
        eval_every: Epochs between two judgements; the first and the last always are.
        split: What judges: ``"val"``, or under the paper's protocol ``"test"``.
    """

    def __init__(
        self,
        stepper: Stepper,
        metric: str,
        direction: Direction,
        report: Callable[[int, float], None],
        eval_every: int = 1,
        split: Split = "val",
    ) -> None:
        self._stepper, self._metric, self._sign = stepper, metric, direction.sign
        self._report, self._eval_every, self._split = report, eval_every, split
        self._epochs: list[int] = []
        self._values: list[float] = []
        self._best: Mapping[str, float] = {}
        self._best_epoch = -1
        self._best_parameters: list[Tensor] = []
        self._best_state: dict[str, Any] | None = None
        self._train_loss = math.nan

    @property
    def device(self) -> str:
        """Where the parameters lie."""
        return self._stepper.device

    def proceed(self, epochs: int, watch: Watch) -> str | None:
        """Train until ``epochs`` epochs are done.

        Args:
            epochs: How many in all, those before a checkpoint included.
            watch: Looks up before each step; raises to leave.

        Returns:
            Why it ended early, or None.
        """
        length = self._stepper.problem.steps_per_epoch
        try:
            if not self._values:
                self._judge(0)
            for number in range(self._stepper.number, epochs * length):
                watch.check(number, self.state_dict)
                self._stepper.step()
                if (number + 1) % length == 0:
                    self._end_epoch((number + 1) // length, epochs)
        except NonFiniteLossError as error:
            return str(error)
        return None

    def outcome(self, reason: str | None, stage: Stage, cost: Callable[[], RunCost]) -> Outcome:
        """Make the outcome; a confirmation is judged on the test split now, once.

        Where the test split has driven the choices all along, there is nothing left to judge.

        Args:
            reason: Why the run ended early, or None.
            stage: Search or confirmation.
            cost: Asked after the test.

        Returns:
            COMPLETE; DIVERGED when there is a reason; FAILED when no epoch has a value.
        """
        if self._best_epoch < 0:
            return Outcome(Status.FAILED, reason=reason, cost=cost())
        metrics = {f"{self._split}_{k}": v for k, v in self._best.items()}
        metrics |= {"best_epoch": float(self._best_epoch)}
        if stage is Stage.CONFIRM and self._split != "test":
            metrics |= self._test()
        metrics |= self._stepper.report()
        if math.isfinite(self._train_loss):
            metrics["train_loss"] = self._train_loss
        return Outcome(
            status=Status.COMPLETE if reason is None else Status.DIVERGED,
            value=self._best[self._metric],
            metrics=metrics,
            curve=Curve(tuple(self._epochs), tuple(self._values)),
            reason=reason,
            cost=cost(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state before the next step."""
        return {
            "stepper": self._stepper.state_dict(),
            "epochs": list(self._epochs),
            "values": list(self._values),
            "best": dict(self._best),
            "best_epoch": self._best_epoch,
            "best_parameters": list(self._best_parameters),
            "best_state": self._best_state,
            "train_loss": self._train_loss,
        }

    def load_state_dict(self, state: dict[str, Any]) -> int:
        """Go on where the saved run stood, and report its epochs again.

        They were reported for another trial: a run that is continued is a new attempt.

        Args:
            state: What :meth:`state_dict` returned.

        Returns:
            Number of the next step.

        Raises:
            ValueError: The state does not fit this run, or does not fit together.
        """
        self._stepper.load_state_dict(state["stepper"])
        number, values = self._stepper.number, [float(value) for value in state["values"]]
        epochs = [int(epoch) for epoch in state["epochs"]]
        done = number // self._stepper.problem.steps_per_epoch
        best = int(state["best_epoch"])
        expected = [k for k in range(done + 1) if k % self._eval_every == 0]
        if epochs != expected or len(values) != len(epochs) or best not in epochs:
            raise ValueError(f"epochs {epochs} judged, best {best}, at step {number}")
        self._best = {str(name): float(value) for name, value in state["best"].items()}
        if self._best[self._metric] != values[epochs.index(best)]:
            raise ValueError(f"the best {self._metric} is not that of epoch {best}")
        self._best_parameters = self._copies()
        copy_into(self._best_parameters, state["best_parameters"])
        self._best_state = state["best_state"]
        self._epochs, self._values, self._best_epoch = epochs, values, best
        self._train_loss = float(state["train_loss"])
        for epoch, value in zip(epochs, values, strict=True):
            self._report(epoch, value)
        return number

    def _test(self) -> dict[str, float]:
        problem = self._stepper.problem
        copy_into(problem.parameters, self._best_parameters)
        if isinstance(problem, StatefulProblem) and self._best_state is not None:
            # Running statistics belong to the weights that they were gathered with.
            problem.load_state_dict(self._best_state)
        return {f"test_{k}": v for k, v in problem.evaluate("test").items()}

    def _end_epoch(self, epoch: int, last: int) -> None:
        losses = self._stepper.losses
        self._train_loss = float(np.mean(losses))
        losses.clear()
        if epoch % self._eval_every == 0 or epoch == last:
            self._judge(epoch)

    def _judge(self, epoch: int) -> None:
        judged = self._stepper.problem.evaluate(self._split)
        for name, value in judged.items():
            if not math.isfinite(value):
                raise NonFiniteLossError(
                    nonfinite(f"{_WORDS[self._split]} {name}", value, f"after epoch {epoch}")
                )
        value = judged[self._metric]
        self._epochs.append(epoch)
        self._values.append(value)
        if self._best_epoch < 0 or self._sign * value < self._sign * self._best[self._metric]:
            self._best, self._best_epoch = judged, epoch
            self._best_parameters = self._copies()
            problem = self._stepper.problem
            if isinstance(problem, StatefulProblem):
                self._best_state = copy.deepcopy(problem.state_dict())
        self._report(epoch, value)

    def _copies(self) -> list[Tensor]:
        return [p.detach().clone() for p in self._stepper.problem.parameters]
