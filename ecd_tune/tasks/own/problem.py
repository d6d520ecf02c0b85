"""The problem of a user task that describes its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ecd_tune.errors import TaskError
from ecd_tune.tasks.base import Split, part_of
from ecd_tune.tasks.functional import Batch, FunctionalProblem, Measured
from ecd_tune.tasks.own.data import DataSetPart
from ecd_tune.tasks.own.run import Description
from ecd_tune.tasks.seeds import seed_everything

__all__ = ["ModelProblem"]


class ModelProblem(FunctionalProblem):
    """A model with its data, loss and score.

    Args:
        description: The description.
        seed: Decides order and everything else that is random.

    Attributes:
        description: The description.
    """

    def __init__(self, description: Description, seed: int) -> None:
        self.description, self._train = description, description.parts["train"]
        steps = -(-self._train.count // description.batch_size)
        super().__init__(description.model, seed, steps)
        self.metric: str | None = description.metric

    def begin_pass(self, *purpose: str | int) -> None:
        """Seed the global generators, which code that is not ours draws from."""
        seed_everything(self.seed, *purpose)

    def batch(self, step: int) -> Batch:
        """Return the examples of a step."""
        epoch, number = divmod(step, self.steps_per_epoch)
        return self._train.batch(self.seed, epoch, number)[0]

    def loss(self, network: nn.Module, *batch: Any) -> Tensor:
        """Return the task's loss."""
        return self.description.loss(network, *batch)

    def check_loss(self, loss: Any) -> None:
        """Check the result of the loss.

        Raises:
            TaskError: It is not a differentiable number.
        """
        _check_loss(self.description.loss, loss)

    def evaluation_batches(self, split: Split) -> Iterator[tuple[Batch, int]]:
        """Iterate over a split.

        Yields:
            A batch, and its number of examples.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        part = part_of("run.data", self.description.parts, split)
        yield from part.batches(self.seed)

    def close(self) -> None:
        """Stop prefetching."""
        for part in self.description.parts.values():
            if isinstance(part, DataSetPart):
                part.close()

    def measure(self, network: nn.Module, *batch: Any) -> tuple[Tensor, ...]:
        """Return loss and score, per example or as a mean."""
        return tuple(
            _numbers(name, function, function(network, *batch))
            for name, function in self._metric_functions()
        )

    def summarise(self, split: Split, measured: Measured) -> Mapping[str, float]:
        """Return the metric and ``loss`` on one split, means over its examples."""
        count = sum(own for _, own in measured)
        return {
            name: float(sum(_total(name, function, found[n], own) for found, own in measured))
            / count
            for n, (name, function) in enumerate(self._metric_functions())
        }

    def examples(self, step: int) -> int:
        """Return the number of examples of a step."""
        number, size = step % self.steps_per_epoch, self.description.batch_size
        return min(size, self._train.count - number * size)

    def _metric_functions(self) -> list[tuple[str, Callable[..., Any]]]:
        """Return the evaluation of a split, by name."""
        score, metric = self.description.score, self.description.metric
        own = [] if score is None or metric == "loss" else [(metric, score)]
        return [("loss", self.description.loss), *own]


def _numbers(name: str, function: Callable[..., Any], value: Any) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskError(
            f"run.{_call(name)}: {_place(function)} returned {type(value).__name__} ({error}); "
            "expected one number per example, or their mean"
        ) from None


def _call(name: str) -> str:
    return "loss" if name == "loss" else "score"


def _total(name: str, function: Callable[..., Any], value: Tensor, count: int) -> Tensor:
    """Return the sum over a batch of a function's result: a mean, or one number per example.

    Raises:
        TaskError: It returns neither.
    """
    if value.dim() == 0:
        return value.double() * count
    if len(value) != count:
        raise TaskError(
            f"run.{_call(name)}: {_place(function)} returned shape {tuple(value.shape)} for "
            f"{count} examples; expected one number per example, or their mean"
        )
    return value.double().flatten(1).mean(1).sum() if value.dim() > 1 else value.double().sum()


def _check_loss(function: Callable[..., Any], loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.dim():
        found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise TaskError(
            f"run.loss: {_place(function)} returned {found}; expected a tensor of shape (), such "
            "as the mean over the batch"
        )
    if not loss.requires_grad:
        raise TaskError(
            f"run.loss: {_place(function)} returned a loss without a gradient; is it computed by "
            "the model, without detach() or .item()?"
        )


def _place(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__name__", type(function).__name__)
    return f"{name} ({code.co_filename}, line {code.co_firstlineno})" if code else name
