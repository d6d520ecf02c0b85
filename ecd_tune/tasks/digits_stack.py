"""Many classifiers of digits at once, with forward and backward pass written out.

Activations are ``[B, features, examples]``: sums over few classes in the last dimension are slow
on a CPU. Automatic differentiation would take several times as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ecd_tune.errors import TaskError
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.stacking import ParameterStack, common_place

if TYPE_CHECKING:
    from ecd_tune.tasks.digits import DigitsProblem

__all__ = ["StackedDigits"]


class StackedDigits:
    """A :class:`~ecd_tune.tasks.StackedProblem` of classifiers of one shape.

    Args:
        problems: The classifiers; all hold the same parts of the data.
    """

    def __init__(self, problems: Sequence[DigitsProblem]) -> None:
        first = problems[0]
        self._stack = ParameterStack(problems)
        self.problems: list[DigitsProblem] = self._stack.problems  # type: ignore[assignment]
        self.parameters, self.gradients = self._stack.parameters, self._stack.gradients
        self._parts, self._batch_size = first.parts, first.batch_size
        self._steps_per_epoch = first.steps_per_epoch
        self._orders = torch.zeros((len(problems), len(self._parts["train"].y)), dtype=torch.int64)
        self._epochs = [-1] * len(problems)
        self._memory: dict[str, Tensor] = {}

    def replace(self, row: int, problem: DigitsProblem) -> None:
        """Put another classifier into a row."""
        self._stack.replace(row, problem)
        self._epochs[row] = -1

    @torch.no_grad()
    def closure(self, steps: Sequence[int]) -> Tensor:
        """Compute the cross-entropy of one batch of each row, and its gradient."""
        rows = self._rows(steps)
        train, (trials, count) = self._parts["train"], rows.shape
        images = self._room("x", trials * count, train.x.shape[1])
        torch.index_select(train.x, 0, rows.flatten(), out=images)
        classes = train.y[rows][:, None]
        inputs = self._forward(images.view(trials, count, -1).transpose(1, 2))
        slope, losses = self._softmax(inputs.pop(), classes)
        slope.scatter_add_(1, classes, slope.new_full((1, 1, 1), -1.0).expand_as(classes))
        self._backward(inputs, slope.div_(count))
        return losses

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, Tensor]:
        """Return ``accuracy`` and ``loss`` of each row on one split.

        Raises:
            TaskError: The classifiers do not hold the split.
        """
        if split not in self._parts:
            raise TaskError(f"digits: the {split} split is closed to a search run")
        part, trials = self._parts[split], len(self.problems)
        logits = self._forward(part.x.T.expand(trials, -1, -1))[-1]
        # Of equal logits the first counts, as with argmax, which takes ten times as long here.
        classes = torch.arange(logits.shape[1], 0, -1, dtype=torch.uint8)[:, None]
        first = len(classes) - ((logits == logits.amax(1, keepdim=True)) * classes).amax(1)
        hits = (first == part.y).double().mean(1)
        _, losses = self._softmax(logits, part.y.expand(trials, 1, -1))
        return {"accuracy": hits, "loss": losses}

    def _forward(self, x: Tensor) -> list[Tensor]:
        """Return the input of each layer, and the logits ``[B, classes, examples]``."""
        values = [x]
        for layer in range(0, len(self.parameters), 2):
            weight, bias = self.parameters[layer : layer + 2]
            out = self._room(f"layer {layer}", len(weight), weight.shape[1], x.shape[2])
            values.append(torch.bmm(weight, values[-1], out=out).add_(bias[:, :, None]))
            if layer + 2 < len(self.parameters):
                out.relu_()
        return values

    def _softmax(self, logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities, in place of the logits, and the mean loss of each row."""
        trials, _, count = logits.shape
        column = self._room("column", trials, 1, count)
        logits.sub_(torch.amax(logits, 1, keepdim=True, out=column))
        own = torch.gather(logits, 1, classes, out=self._room("own", trials, 1, count))
        torch.sum(logits.exp_(), 1, keepdim=True, out=column)
        logits.div_(column)
        return logits, column.log_().sub_(own).mean((1, 2))

    def _backward(self, inputs: list[Tensor], slope: Tensor) -> None:
        """Write the gradients, from the losses' derivative by the logits."""
        for layer in range(len(self.parameters) - 2, -1, -2):
            value, weight = inputs[layer // 2], self.parameters[layer]
            torch.bmm(slope, value.transpose(1, 2), out=self.gradients[layer])
            torch.sum(slope, 2, out=self.gradients[layer + 1])
            if layer:
                out = self._room(f"slope {layer}", *value.shape)
                torch.bmm(weight.transpose(1, 2), slope, out=out)
                slope = torch.ops.aten.threshold_backward(out, value, 0.0)

    def _room(self, name: str, *shape: int) -> Tensor:
        """Return memory that is there already: to allocate it anew takes longer than to use it."""
        size = math.prod(shape)
        if name not in self._memory or len(self._memory[name]) < size:
            self._memory[name] = self.parameters[0].new_empty(size)
        return self._memory[name][:size].view(shape)

    def _rows(self, steps: Sequence[int]) -> Tensor:
        """Return the examples of each row's step, ``[B, n]``."""
        place = common_place(steps, self._steps_per_epoch)
        for row, step in enumerate(steps):
            epoch = step // self._steps_per_epoch
            if self._epochs[row] != epoch:
                self._orders[row] = self.problems[row].order(epoch)
                self._epochs[row] = epoch
        begin = place * self._batch_size
        return self._orders[:, begin : begin + self._batch_size]
