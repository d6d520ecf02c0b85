"""Whether the models of a user task can be computed together.

Operations that torch.func cannot map, such as a branch that depends on values, are detected by
comparing a trial step with two single models.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.tasks.own.data import TensorPart
from ecd_tune.tasks.own.problem import ModelProblem
from ecd_tune.tasks.stacked_networks import StackedNetworks

__all__ = ["why_not_stacked"]

_TOLERANCE = 1e-4


def why_not_stacked(build: Callable[[int], ModelProblem]) -> str | None:
    """Return why the models of a task do not compute together, or None.

    A step and an evaluation of two of them are compared with those of each single model.

    Args:
        build: Makes the problem of a seed.
    """
    try:
        alone, problems = ([build(seed) for seed in (0, 1)] for _ in range(2))
        if not all(isinstance(p, TensorPart) for p in alone[0].description.parts.values()):
            return "its data are not tensors"
        before = _random_states()
        stack = StackedNetworks(problems)
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
                    ([torch.tensor(numbers[row][k])], [torch.tensor(v)])
                    for k, v in problem.evaluate("val").items()
                ),
            ]
            if not all(_close(found, expected) for found, expected in pairs):
                return "its models give different numbers when they are computed together"
    except Exception as error:
        return f"torch cannot map its models: {type(error).__name__}: {_line(error)}"
    return None


def _gradient(p: Tensor) -> Tensor:
    return torch.zeros_like(p) if p.grad is None else p.grad


def _close(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Return whether tensors are equal to rounding of the largest number among them."""
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
