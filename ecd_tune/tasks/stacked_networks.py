"""Many networks of one structure that compute together, by torch.func.

Their parameters and buffers are in common tensors, and the functions of a
:class:`~ecd_tune.tasks.functional.FunctionalProblem` are mapped over the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ecd_tune.tasks.base import Split
from ecd_tune.tasks.functional import FunctionalProblem
from ecd_tune.tasks.stacking import ParameterStack

__all__ = ["StackedNetworks", "StacksNetworks"]

_PREFIX = "model."
_MAPPED = SDPBackend.MATH
"""The form of attention that vmap can map on every device."""

Values = dict[str, Tensor]


class StackedNetworks:
    """A :class:`~ecd_tune.tasks.StackedProblem` of networks with one structure.

    Loss and measures are those of the first problem.

    Args:
        problems: The problems; their batches are tensors.
    """

    def __init__(self, problems: Sequence[FunctionalProblem]) -> None:
        first = problems[0]
        self._stack = ParameterStack(problems)
        self.problems: list[FunctionalProblem] = self._stack.problems  # type: ignore[assignment]
        self.parameters, self.gradients = self._stack.parameters, self._stack.gradients
        self._first, self._template = first, first.network
        trained = {id(p) for p in first.parameters}
        self._names = [n for n, p in self._template.named_parameters() if id(p) in trained]
        held = [_held(problem) for problem in problems]
        self._held = {name: torch.stack([own[name] for own in held]) for name in held[0]}
        for row in range(len(problems)):
            self._move(row)

    def replace(self, row: int, problem: FunctionalProblem) -> None:
        """Replace the network of a row."""
        self._stack.replace(row, problem)
        for name, value in _held(problem).items():
            self._held[name][row].copy_(value)
        self._move(row)

    def closure(self, steps: Sequence[int], rows: Sequence[int] | None = None) -> Tensor:
        """Compute loss and gradient of one batch of rows; moves their running statistics."""
        numbers = range(len(self.problems)) if rows is None else rows
        problems = [self.problems[row] for row in numbers]
        found = [p.key(step) for p, step in zip(problems, steps, strict=True)]
        drawn = [key for key in found if key is not None]
        keys = (torch.stack(drawn),) if drawn else ()
        self._template.train()
        loss = _Function(self._template, self._first.training_loss)

        def compute(
            trained: Values, held: Values, keys: tuple[Tensor, ...], *batch: Tensor
        ) -> tuple[Tensor, Values]:
            given = {**trained, **held}
            value = functional_call(loss, given, (keys[0] if keys else None, *batch))
            return value, {name: given[name] for name in held}  # as the forward pass has left it

        index = None if rows is None else torch.tensor(rows, device=self.parameters[0].device)
        trained, held = (_rows(own, index) for own in self._values())
        if index is None:
            held = {name: block.clone() for name, block in held.items()}
        columns = self._first.stack_batches(problems, steps)
        mapped = vmap(grad_and_value(compute, has_aux=True))
        with sdpa_kernel(_MAPPED):
            gradients, (losses, moved) = mapped(trained, held, keys, *columns)
        with torch.no_grad():
            for block, name in zip(self.gradients, self._names, strict=True):
                _write(block, index, gradients[_PREFIX + name])
            for name, block in self._held.items():
                _write(block, index, moved[_PREFIX + name])
        return losses.detach()  # type: ignore[no-any-return]

    @torch.no_grad()
    def evaluate(
        self, split: Split, rows: Sequence[int] | None = None
    ) -> list[Mapping[str, float]]:
        """Return the metrics of rows on one split.

        Raises:
            TaskError: The problems do not hold the split.
        """
        self._template.eval()
        numbers = range(len(self.problems)) if rows is None else rows
        index = None if rows is None else torch.tensor(rows, device=self.parameters[0].device)
        values = {name: v for own in self._values() for name, v in _rows(own, index).items()}
        measure = _Function(self._template, self._first.measure)
        mapped = vmap(functional_call, in_dims=(None, 0, None))
        with sdpa_kernel(_MAPPED):
            found = [
                (mapped(measure, values, batch), count)
                for batch, count in self._first.evaluation_batches(split)
            ]
        measured = [(tuple(one.cpu() for one in each), count) for each, count in found]
        return [
            self.problems[row].summarise(
                split, [(tuple(one[place] for one in each), count) for each, count in measured]
            )
            for place, row in enumerate(numbers)
        ]

    def _values(self) -> tuple[Values, Values]:
        """Return the trained and the other tensors of all rows."""
        trained = zip(self._names, self.parameters, strict=True)
        return (
            {_PREFIX + name: block for name, block in trained},
            {_PREFIX + name: block for name, block in self._held.items()},
        )

    def _move(self, row: int) -> None:
        for name, value in _held(self.problems[row]).items():
            value.data = self._held[name][row]


class StacksNetworks:
    """Makes a task of functional problems a :class:`~ecd_tune.tasks.StackableTask`."""

    def why_not_stacked(self) -> str | None:
        """Return None: they can."""
        return None

    def stack(self, problems: Sequence[FunctionalProblem]) -> StackedNetworks:
        """Let networks compute together."""
        return StackedNetworks(problems)


class _Function(nn.Module):
    """A function of a network as a module, so that the network's tensors can be given."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *arguments: Any) -> Any:
        return self.function(self.model, *arguments)


def _held(problem: FunctionalProblem) -> Values:
    """Return the untrained tensors of a network: buffers, and frozen parameters."""
    network = problem.network
    frozen = {name: p for name, p in network.named_parameters() if not p.requires_grad}
    return {**frozen, **dict(network.named_buffers())}


def _rows(values: Values, index: Tensor | None) -> Values:
    return values if index is None else {name: block[index] for name, block in values.items()}


def _write(block: Tensor, index: Tensor | None, new: Tensor) -> None:
    if index is None:
        block.copy_(new)
    else:
        block.index_copy_(0, index, new)
