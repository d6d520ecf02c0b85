"""Evaluate a network on one split."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.outcomes import nonfinite
from ecd_tune.objective.training.batches import Batches
from ecd_tune.records import Direction
from ecd_tune.tasks import NormalisedProblem, Problem, Split

__all__ = ["Evaluator"]

_WORDS = {"train": "training", "val": "validation", "test": "test"}


class Evaluator:
    """Evaluates a problem's present parameters.

    Args:
        problem: The problem.
        batches: Knows the precision in which the network runs.
        metric: The metric, a key of ``evaluate(split)``.
        direction: Which metric is better.
        split: The evaluation split: ``"val"``, or under the paper's protocol ``"test"``.

    Attributes:
        problem: The problem.
        metric: The metric.
        split: The evaluation split.
    """

    def __init__(
        self,
        problem: Problem,
        batches: Batches,
        metric: str,
        direction: Direction,
        split: Split = "val",
    ) -> None:
        self.problem, self.metric, self.split = problem, metric, split
        self._batches, self._sign = batches, direction.sign
        self._told: Mapping[str, float] | None = None

    def evaluate(self, place: str) -> dict[str, float]:
        """Return all numbers of the split that drives the choices.

        Args:
            place: For the message, for example ``"after epoch 3"``.

        Returns:
            Metric to finite value.

        Raises:
            NonFiniteLossError: A number is NaN or infinite.
        """
        metrics = self._evaluate(self.split) if self._told is None else dict(self._told)
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NonFiniteLossError(nonfinite(f"{_WORDS[self.split]} {name}", value, place))
        return metrics

    def test(self) -> dict[str, float]:
        """Return all numbers of the test split; for a confirmation, after all choices."""
        return self._evaluate("test")

    def better(self, new: Mapping[str, float], old: Mapping[str, float] | None) -> bool:
        """Return whether metrics are better than others; always true without others.

        Args:
            new: Numbers of :meth:`evaluate`.
            old: Numbers of :meth:`evaluate`, or None.

        Returns:
            False where they are equal, the loss too, which decides where the metric does not.
        """
        return old is None or self._rank(new) < self._rank(old)

    def _rank(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        return self._sign * metrics[self.metric], metrics.get("loss", 0.0)

    def renew(self) -> None:
        """Recompute running statistics, if any, for the present parameters."""
        if isinstance(self.problem, NormalisedProblem):
            with self._batches.precision():
                self.problem.renew_statistics()

    def tell(self, numbers: Mapping[str, float] | None) -> None:
        """Use given numbers as the evaluation of the present parameters.

        Args:
            numbers: As ``evaluate(split)`` returns them, found for many problems at once; None:
                this problem is evaluated by itself again.
        """
        self._told = numbers

    def _evaluate(self, split: Split) -> dict[str, float]:
        with self._batches.precision():
            return dict(self.problem.evaluate(split))
