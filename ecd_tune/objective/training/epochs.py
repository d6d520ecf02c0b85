"""Train by epochs, and evaluate each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.checkpoints.checkpoint import Callbacks
from ecd_tune.objective.checkpoints.snapshots import CheckpointTimer
from ecd_tune.objective.outcomes import paused_after
from ecd_tune.objective.training.averaging import Averager
from ecd_tune.objective.training.evaluator import Evaluator
from ecd_tune.objective.training.means import Weights
from ecd_tune.objective.training.metric_history import MetricHistory, thinned
from ecd_tune.objective.training.speed import Clock, Speed
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.records import METRIC, Cause, Curve, Outcome, RunCost, Stage, Status

__all__ = ["TRAIN_LOSS", "Training"]

TRAIN_LOSS = "train_loss"
"""Name of the curve of each epoch's mean loss; and of the metric, its last point."""


class Training:
    """Epochs of a run, each evaluated on the split that selects.

    Epoch 0 is the state before training. It is the best one only until another is evaluated, so
    that a run which diverges immediately still has a value.

    Args:
        stepper: The problem with its optimizer.
        evaluator: Evaluates it.
        epochs: Length of the run.
        eval_every: Epochs between two evaluations; the first and the last are always evaluated.
        averager: Evaluates means of weights too, or None.
        callbacks: Called as the run continues, or None.
        clock: Of the run's work.
        until: Epoch after which the run is paused, or None.
    """

    def __init__(
        self,
        stepper: Stepper,
        evaluator: Evaluator,
        epochs: int,
        eval_every: int = 1,
        averager: Averager | None = None,
        callbacks: Callbacks | None = None,
        clock: Clock = time.perf_counter,
        until: int | None = None,
    ) -> None:
        self._stepper, self._evaluator, self._length = stepper, evaluator, epochs
        self._until = epochs if until is None else until
        self._eval_every, self._callbacks = eval_every, callbacks or Callbacks()
        self._averager, self._speed = averager, Speed(stepper, clock)
        self._total = epochs * stepper.batches.steps_per_epoch
        self._history = MetricHistory()
        self._last: dict[str, float] = {}
        self._best: dict[str, float] | None = None
        self._best_epoch = -1
        self._best_weights: Weights | None = None
        self._pruned: str | None = None

    @property
    def device(self) -> str:
        """Device of the parameters."""
        return self._stepper.device

    def proceed(self, timer: CheckpointTimer) -> str | None:
        """Train to the end.

        Args:
            timer: Looks up before each step; raises to leave.

        Returns:
            Why it ended early, or None.
        """
        total = self._total
        try:
            self.begin()
            while not self.over:
                number = self._stepper.number
                self._callbacks.on_step(number, total)
                timer.check(number, self.state_dict)
                self._stepper.step()
                self.end_step()
            if self.paused:
                timer.save(self._stepper.number, self.state_dict)
            elif self._averager is not None and self._pruned is None:
                self._averager.finish(timer, total, self.state_dict)
        except NonFiniteLossError as error:
            return str(error)
        return self.pruned

    @property
    def over(self) -> bool:
        """Whether all steps are made, or all before a pause."""
        return self._pruned is not None or self.paused or self._stepper.number >= self._total

    @property
    def paused(self) -> bool:
        """Whether it has come to the epoch after which it is paused."""
        reached = self._until * self._stepper.batches.steps_per_epoch
        return reached <= self._stepper.number < self._total

    @property
    def pruned(self) -> str | None:
        """Why someone ended or paused the run, or None."""
        return self._pruned or (paused_after(self._until) if self.paused else None)

    @property
    def begun(self) -> bool:
        """Whether the state before training is evaluated."""
        return bool(self._history.get(METRIC))

    def begin(self) -> None:
        """Evaluate the state before training, unless that is done.

        Raises:
            NonFiniteLossError: A number is NaN or infinite.
        """
        if not self.begun:
            self._evaluate_epoch(0)
        self._speed.begin()

    def end_step(self) -> None:
        """Process the end of an epoch if the last step has ended it.

        Raises:
            NonFiniteLossError: A loss of it, or a number after it, is NaN or infinite.
        """
        epoch, place = divmod(self._stepper.number, self._stepper.batches.steps_per_epoch)
        if place == 0:
            self._end_epoch(epoch)

    @property
    def ends_evaluated(self) -> bool:
        """Whether the epoch that the last step ended is evaluated."""
        return self._is_evaluated(self._stepper.number // self._stepper.batches.steps_per_epoch)

    def outcome(self, reason: str | None, stage: Stage, cost: Callable[[], RunCost]) -> Outcome:
        """Return the outcome; a confirmation is evaluated on the test split here, once.

        If the test split selected, no further evaluation is needed. With averaging the selected
        mean gives value and numbers, and the best single epoch is added as ``single_…``.

        Args:
            reason: Why the run ended early, or None.
            stage: Search or confirmation.
            cost: Asked after the test.

        Returns:
            COMPLETE; PRUNED or DIVERGED when there is a reason; FAILED when no epoch has a
            value.
        """
        if self._best is None:
            failed = Outcome(Status.FAILED, reason=reason, cost=cost(), cause=Cause.NON_FINITE)
            return self._close(failed)
        metrics = self._choose(stage)
        metrics |= {"best_epoch": float(self._best_epoch)}
        metrics |= self._stepper.report()
        metrics |= self._speed.metrics()
        if reason is None:
            metrics |= self._stepper.measured()
        if losses := self._history.get(TRAIN_LOSS):
            metrics[TRAIN_LOSS] = [*losses.values()][-1]
        ended = Status.PRUNED if reason == self.pruned else Status.DIVERGED
        return self._close(
            Outcome(
                status=Status.COMPLETE if reason is None else ended,
                value=metrics[f"{self._evaluator.split}_{self._evaluator.metric}"],
                metrics=metrics,
                curves=self._curves(),
                reason=reason,
                cost=cost(),
            )
        )

    def _curves(self) -> dict[str, Curve]:
        averaged = self._averager.curve if self._averager is not None else Curve()
        return self._history.curves() | ({f"averaged_{METRIC}": averaged} if averaged.steps else {})

    def state_dict(self) -> dict[str, Any]:
        """Return the state before the next step."""
        best, averager = self._best_weights, self._averager
        return {
            "stepper": self._stepper.state_dict(),
            "tracks": self._history.state_dict(),
            "last": dict(self._last),
            "best": dict(self._best or {}),
            "best_epoch": self._best_epoch,
            "best_weights": None if best is None else best.to_dict(),
            "averager": None if averager is None else averager.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> int:
        """Resume the saved run, and report its epochs again.

        They were reported for another trial: a run that is continued is a new attempt.

        Args:
            state: Returned by :meth:`state_dict`.

        Returns:
            Number of the next step.

        Raises:
            ValueError: The state does not fit this run, or does not fit together.
        """
        self._stepper.load_state_dict(state["stepper"])
        self._history.load_state_dict(state["tracks"])
        number, values = self._stepper.number, self._history.get(METRIC)
        done = number // self._stepper.batches.steps_per_epoch
        best, metric = int(state["best_epoch"]), self._evaluator.metric
        if list(values) != thinned(k for k in range(done + 1) if self._is_evaluated(k)):
            raise ValueError(f"epochs {list(values)} evaluated, at step {number}")
        if list(self._history.get(TRAIN_LOSS)) != thinned(range(1, done + 1)):
            raise ValueError(f"not the losses of {done} epochs")
        self._best, self._last = (_numbers(state[name]) for name in ("best", "last"))
        if not 0 <= best <= done or self._best[metric] != values.get(best, self._best[metric]):
            raise ValueError(f"the best {metric} is not that of epoch {best}")
        if self._last[metric] != [*values.values()][-1]:
            raise ValueError(f"the last {metric} is not that of the last epoch")
        self._best_weights = Weights.from_dict(state["best_weights"], self._stepper.problem)
        if self._averager is not None:
            self._averager.load_state_dict(state["averager"], done)
        self._best_epoch = best
        for epoch, value in values.items():
            self._callbacks.report(epoch, value)
        return number

    def _choose(self, stage: Stage) -> dict[str, float]:
        """Return the numbers of the selected weights, perhaps also on the test split."""
        split, metric = self._evaluator.split, self._evaluator.metric
        assert self._best is not None  # asked with a value only
        single = _named(split, self._best)
        if stage is Stage.CONFIRM and split != "test":
            single |= _named("test", self._test(self._best_weights))
        choice = self._averager.choice if self._averager is not None else None
        if choice is None:
            return single
        metrics = _named(split, choice.metrics)
        if stage is Stage.CONFIRM and split != "test":
            metrics |= _named("test", self._test(choice.weights))
        metrics |= {f"single_{name}": value for name, value in single.items()}
        metrics[f"last_{split}_{metric}"] = self._last[metric]
        return metrics | {"averaged_from": float(choice.first), "averaged_to": float(choice.last)}

    def _test(self, weights: Weights | None) -> dict[str, float]:
        assert weights is not None  # kept with every choice that is still to be tested
        # Running statistics belong to the weights that they were gathered with: both are put.
        weights.put(self._stepper.problem)
        return self._evaluator.test()

    def _close(self, outcome: Outcome) -> Outcome:
        continues = self.paused and outcome.status is Status.PRUNED
        if self._averager is not None and not continues:
            self._averager.close()
        return outcome

    def _is_evaluated(self, epoch: int) -> bool:
        return epoch % self._eval_every == 0 or epoch == self._length

    def _end_epoch(self, epoch: int) -> None:
        losses = self._stepper.losses
        loss = {TRAIN_LOSS: float(np.mean(losses))}
        self._history.add(epoch, loss | self._stepper.diagnostics())
        losses.clear()
        self._speed.pause()
        reported = self._is_evaluated(epoch) and self._evaluate_epoch(epoch)
        if self._averager is not None:
            self._averager.end_epoch(epoch)
        if reported and epoch < self._length:
            self._pruned = self._callbacks.prune()
        self._speed.begin()

    def _evaluate_epoch(self, epoch: int) -> bool:
        """Evaluate an epoch.

        Returns:
            Whether it was reported: of a long run, only the points that its curve keeps.
        """
        with self._stepper.evaluating():
            metrics = self._evaluator.evaluate(f"after epoch {epoch}")
            if self._best_epoch < 1 or self._evaluator.better(metrics, self._best):
                self._best, self._best_epoch = metrics, epoch
                self._best_weights = Weights.of(self._stepper.problem)
        value = metrics[self._evaluator.metric]
        reported = self._history.add(epoch, {METRIC: value}) or epoch == self._length
        self._last = metrics
        if reported:
            self._callbacks.report(epoch, value)
        return reported


def _named(split: str, numbers: Mapping[str, float]) -> dict[str, float]:
    return {f"{split}_{name}": value for name, value in numbers.items()}


def _numbers(held: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in held.items()}
