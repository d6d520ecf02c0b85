"""Many models of one kind that compute together, by torch.func.

The models' parameters and buffers lie in common tensors, and loss and score of a task are mapped
over their rows. What torch cannot map, such as dropout or a branch that depends on values, is found
by a trial step beside two models alone (:func:`why_not_stacked`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from ecd_tune.errors import TaskError
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.own.data import TensorPart
from ecd_tune.tasks.own.problem import ModelProblem, total
from ecd_tune.tasks.stacking import ParameterStack, common_place

__all__ = ["StackedModels", "why_not_stacked"]

_PREFIX = "model."
_TOLERANCE = 1e-4

Values = dict[str, Tensor]


class StackedModels:
    """A :class:`~ecd_tune.tasks.StackedProblem` of models with one structure.

    Loss and score are those of the first problem.

    Args:
        problems: The problems; their data are tensors.
    """

    def __init__(self, problems: Sequence[ModelProblem]) -> None:
        first = problems[0]
        self._stack = ParameterStack(problems)
        self.problems: list[ModelProblem] = self._stack.problems  # type: ignore[assignment]
        self.parameters, self.gradients = self._stack.parameters, self._stack.gradients
        self._description, self._length = first.description, first.steps_per_epoch
        self._template = first.description.model
        trained = {id(p) for p in first.parameters}
        named = dict(self._template.named_parameters())
        self._names = [name for name, p in named.items() if id(p) in trained]
        held = [_held(problem) for problem in problems]
        self._held = {name: torch.stack([own[name] for own in held]) for name in held[0]}
        for row in range(len(problems)):
            self._move(row)

    def replace(self, row: int, problem: ModelProblem) -> None:
        """Put another model into a row."""
        self._stack.replace(row, problem)
        for name, value in _held(problem).items():
            self._held[name][row].copy_(value)
        self._move(row)

    def closure(self, steps: Sequence[int]) -> Tensor:
        """Compute loss and gradient of one batch of each row; moves running statistics."""
        common_place(steps, self._length)
        batches = [p.batch(step) for p, step in zip(self.problems, steps, strict=True)]
        columns = [torch.stack(column) for column in zip(*batches, strict=True)]
        self._template.train()
        loss = _Function(self._template, self._description.loss)

        def compute(trained: Values, held: Values, *batch: Tensor) -> tuple[Tensor, Values]:
            given = {**trained, **held}
            value = functional_call(loss, given, batch)
            return value, {name: given[name] for name in held}  # as the forward pass has left it

        copies = {name: block.clone() for name, block in self._held_values().items()}
        mapped = vmap(grad_and_value(compute, has_aux=True))
        gradients, (losses, moved) = mapped(self._trained_values(), copies, *columns)
        with torch.no_grad():
            for block, name in zip(self.gradients, self._names, strict=True):
                block.copy_(gradients[_PREFIX + name])
            for name, block in self._held.items():
                block.copy_(moved[_PREFIX + name])
        return losses.detach()  # type: ignore[no-any-return]

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, Tensor]:
        """Return the metric and ``loss`` of each row on one split.

        Raises:
            TaskError: The problems do not hold the split.
        """
        part = self._description.parts.get(split)
        if part is None:
            raise TaskError(f"the {split} split is closed to a search run")
        self._template.eval()
        values = {**self._trained_values(), **self._held_values()}
        judges = {n: _Function(self._template, f) for n, f in self.problems[0].judges()}
        sums: dict[str, Tensor] = {}
        for batch, count in part.batches(0):
            for name, judge in judges.items():
                found = vmap(functional_call, in_dims=(None, 0, None))(judge, values, batch)
                rows = torch.stack([total(name, judge.function, row, count) for row in found])
                sums[name] = sums[name] + rows if name in sums else rows
        return {name: value / part.count for name, value in sums.items()}

    def _trained_values(self) -> Values:
        return {_PREFIX + name: p for name, p in zip(self._names, self.parameters, strict=True)}

    def _held_values(self) -> Values:
        return {_PREFIX + name: block for name, block in self._held.items()}

    def _move(self, row: int) -> None:
        for name, value in _held(self.problems[row]).items():
            value.data = self._held[name][row]


class _Function(nn.Module):
    """A function of a model as a module, so that the model's parameters can be given."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *batch: Any) -> Any:
        return self.function(self.model, *batch)


def _held(problem: ModelProblem) -> Values:
    """Return what a model has beside what is trained: buffers, and parameters that stay."""
    model = problem.description.model
    frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    return {**frozen, **dict(model.named_buffers())}


def why_not_stacked(build: Callable[[int], ModelProblem]) -> str | None:
    """Return why the models of a task do not compute together, or None.

    A step and a judgement of two of them are compared with those of each alone.

    Args:
        build: Makes the problem of a seed.
    """
    try:
        alone, problems = ([build(seed) for seed in (0, 1)] for _ in range(2))
        if not all(isinstance(p, TensorPart) for p in alone[0].description.parts.values()):
            return "its data are no tensors"
        before = _random_states()
        stack = StackedModels(problems)
        losses = stack.closure([0, 0])
        numbers = stack.evaluate("val")
        if _random_states() != before:
            return "its loss or its score draws random numbers"
        for row, problem in enumerate(alone):
            loss = problem.closure(0)
            pairs = [
                ([losses[row]], [loss]),
                ([g[row] for g in stack.gradients], [_gradient(p) for p in problem.parameters]),
                *(
                    ([numbers[k][row]], [torch.tensor(v)])
                    for k, v in problem.evaluate("val").items()
                ),
            ]
            if not all(_close(found, expected) for found, expected in pairs):
                return "computed together its models come to other numbers than alone"
    except Exception as error:
        return f"torch cannot compute its models together: {type(error).__name__}: {_line(error)}"
    return None


def _gradient(p: Tensor) -> Tensor:
    return torch.zeros_like(p) if p.grad is None else p.grad


def _close(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Say whether tensors are equal to rounding of the largest number among them."""
    size = max(float(b.abs().max()) for b in expected if b.numel())
    return all(
        bool(((a - b).abs() <= _TOLERANCE * size).all())
        for a, b in zip(found, expected, strict=True)
    )


def _random_states() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().numpy().tobytes(),
        str(np.random.get_state()),
        random.getstate(),
    )


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
