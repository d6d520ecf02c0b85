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

from ecd_tune.tasks.base import Split, part_of
from ecd_tune.tasks.stacking import ParameterStack

if TYPE_CHECKING:
    from ecd_tune.tasks.digits import DigitsProblem

__all__ = ["StackedDigits"]


class StackedDigits:
    """A :class:`~ecd_tune.tasks.StackedProblem` of classifiers of one shape.

    Args:
        problems: The classifiers; all have the same splits of the data.
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
        """Replace the classifier of a row."""
        self._stack.replace(row, problem)
        self._epochs[row] = -1

    @torch.no_grad()
    def closure(self, steps: Sequence[int], rows: Sequence[int] | None = None) -> Tensor:
        """Compute the cross-entropy of one batch of rows, and its gradient."""
        chosen = range(len(self.problems)) if rows is None else rows
        examples = self._examples(steps, chosen)
        train, (trials, count) = self._parts["train"], examples.shape
        images = self._buffer("x", trials * count, train.x.shape[1])
        torch.index_select(train.x, 0, examples.flatten(), out=images)
        classes = train.y[examples][:, None]
        index = None if rows is None else torch.tensor(rows)
        parameters = self.parameters if index is None else [p[index] for p in self.parameters]
        inputs = self._forward(parameters, images.view(trials, count, -1).transpose(1, 2))
        slope, losses = self._softmax(inputs.pop(), classes)
        slope.scatter_add_(1, classes, slope.new_full((1, 1, 1), -1.0).expand_as(classes))
        if index is None:
            self._backward(parameters, inputs, slope.div_(count), self.gradients)
            return losses
        found = [torch.empty_like(block) for block in parameters]
        self._backward(parameters, inputs, slope.div_(count), found)
        for block, new in zip(self.gradients, found, strict=True):
            block.index_copy_(0, index, new)
        return losses

    @torch.no_grad()
    def evaluate(
        self, split: Split, rows: Sequence[int] | None = None
    ) -> list[Mapping[str, float]]:
        """Return ``accuracy`` and ``loss`` of rows on one split.

        Raises:
            TaskError: The classifiers do not hold the split.
        """
        part = part_of("digits", self._parts, split)
        trials = len(self.problems if rows is None else rows)
        parameters = self.parameters if rows is None else [p[list(rows)] for p in self.parameters]
        logits = self._forward(parameters, part.x.T.expand(trials, -1, -1))[-1]
        # Of equal logits the first counts, as with argmax, which takes ten times as long here.
        classes = torch.arange(logits.shape[1], 0, -1, dtype=torch.uint8)[:, None]
        first = len(classes) - ((logits == logits.amax(1, keepdim=True)) * classes).amax(1)
        hits = (first == part.y).double().mean(1).tolist()
        losses = self._softmax(logits, part.y.expand(trials, 1, -1))[1].tolist()
        return [{"accuracy": h, "loss": loss} for h, loss in zip(hits, losses, strict=True)]

    def _forward(self, parameters: list[Tensor], x: Tensor) -> list[Tensor]:
        """Return the input of each layer, and the logits ``[B, classes, examples]``."""
        values = [x]
        for layer in range(0, len(parameters), 2):
            weight, bias = parameters[layer : layer + 2]
            out = self._buffer(f"layer {layer}", len(weight), weight.shape[1], x.shape[2])
            values.append(torch.bmm(weight, values[-1], out=out).add_(bias[:, :, None]))
            if layer + 2 < len(parameters):
                out.relu_()
        return values

    def _softmax(self, logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities, in place of the logits, and the mean loss of each row."""
        trials, _, count = logits.shape
        column = self._buffer("column", trials, 1, count)
        logits.sub_(torch.amax(logits, 1, keepdim=True, out=column))
        own = torch.gather(logits, 1, classes, out=self._buffer("own", trials, 1, count))
        torch.sum(logits.exp_(), 1, keepdim=True, out=column)
        logits.div_(column)
        return logits, column.log_().sub_(own).mean((1, 2))

    def _backward(
        self,
        parameters: list[Tensor],
        inputs: list[Tensor],
        slope: Tensor,
        gradients: list[Tensor],
    ) -> None:
        """Write the gradients, from the losses' derivative by the logits."""
        for layer in range(len(parameters) - 2, -1, -2):
            value, weight = inputs[layer // 2], parameters[layer]
            torch.bmm(slope, value.transpose(1, 2), out=gradients[layer])
            torch.sum(slope, 2, out=gradients[layer + 1])
            if layer:
                out = self._buffer(f"slope {layer}", *value.shape)
                torch.bmm(weight.transpose(1, 2), slope, out=out)
                slope = torch.ops.aten.threshold_backward(out, value, 0.0)

    def _buffer(self, name: str, *shape: int) -> Tensor:
        """Return existing memory: allocating it takes longer than using it."""
        size = math.prod(shape)
        if name not in self._memory or len(self._memory[name]) < size:
            self._memory[name] = self.parameters[0].new_empty(size)
        return self._memory[name][:size].view(shape)

    def _examples(self, steps: Sequence[int], rows: Sequence[int]) -> Tensor:
        """Return the examples of the steps of rows, ``[rows, n]``."""
        found = []
        for row, step in zip(rows, steps, strict=True):
            epoch, place = divmod(step, self._steps_per_epoch)
            if self._epochs[row] != epoch:
                self._orders[row] = self.problems[row].order(epoch)
                self._epochs[row] = epoch
            found.append(place * self._batch_size)
        count = min(self._batch_size, self._orders.shape[1] - max(found))
        if len(set(found)) == 1 and len(found) == len(self._orders):
            return self._orders[:, found[0] : found[0] + count]
        return torch.stack(
            [self._orders[row, at : at + count] for row, at in zip(rows, found, strict=True)]
        )
