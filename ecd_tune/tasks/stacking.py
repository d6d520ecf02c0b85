"""Parameters of many problems in common tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ecd_tune.tasks.base import Problem

__all__ = ["ParameterStack", "common_place"]


class ParameterStack:
    """Moves the parameters of problems into rows of common tensors; the objects stay the same.

    Args:
        problems: Alike but for their values; each becomes a row.

    Attributes:
        problems: The problem of each row.
        parameters: ``[B, …]``, contiguous.
        gradients: Alike; ``grad`` of a row's parameters are views of it.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        columns = zip(*(problem.parameters for problem in problems), strict=True)
        self.parameters = [torch.stack([p.detach() for p in column]) for column in columns]
        self.gradients = [torch.zeros_like(block) for block in self.parameters]
        for row in range(len(self.problems)):
            self._move(row)

    def replace(self, row: int, problem: Problem) -> None:
        """Put another problem into a row.

        Args:
            row: Which.
            problem: In no stack yet.
        """
        self.problems[row] = problem
        for block, p in zip(self.parameters, problem.parameters, strict=True):
            block[row].copy_(p.detach())
        self._move(row)

    def _move(self, row: int) -> None:
        blocks = zip(self.parameters, self.gradients, strict=True)
        for p, (block, gradient) in zip(self.problems[row].parameters, blocks, strict=True):
            p.data, p.grad = block[row], gradient[row]


def common_place(steps: Sequence[int], steps_per_epoch: int) -> int:
    """Return at which step of an epoch all rows are.

    Args:
        steps: Number of the step of each row.
        steps_per_epoch: Steps of one epoch.

    Returns:
        From 0 to ``steps_per_epoch - 1``.

    Raises:
        ValueError: They are not at the same one.
    """
    places = {step % steps_per_epoch for step in steps}
    if len(places) != 1:
        raise ValueError(f"rows of a stack must be at one place of an epoch, not at {places}")
    return places.pop()
