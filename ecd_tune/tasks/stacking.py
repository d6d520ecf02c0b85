"""Problems of one task that compute together, with their parameters in common tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ecd_tune.tasks.base import Problem, Split, Task

__all__ = ["ParameterStack", "StackableTask", "StackedProblem"]


class StackedProblem(Protocol):
    """Problems of one task that compute together; row b is ``problems[b]``.

    Parameters of all rows are in common tensors, of which those of a row's problem and their
    ``grad`` are views: an optimizer that updates the parameters of a row's problem updates the row,
    and the problem can still be evaluated separately. A row's numbers equal those of the single
    problem up to rounding, and do not depend on the values of other rows, NaN included.

    Attributes:
        problems: The problem of each row.
        parameters: All rows, ``[B, …]``, in the order of ``Problem.parameters``.
        gradients: Alike; written by :meth:`closure`.
    """

    problems: list[Problem]
    parameters: list[Tensor]
    gradients: list[Tensor]

    def replace(self, row: int, problem: Problem) -> None:
        """Replace a row's problem by another of the same task; do not use the old one again.

        Args:
            row: The row.
            problem: A new one, in no stack yet.
        """
        ...

    def closure(self, steps: Sequence[int], rows: Sequence[int] | None = None) -> Tensor:
        """Compute loss and gradient of one step of some rows.

        Args:
            steps: Number of the step of each of them; all at the last step of an epoch, which may
                be shorter than the others, or none.
            rows: Which, in increasing order; None: all.

        Returns:
            The losses, one for each of these rows, detached; their rows of ``gradients`` hold the
            gradients, and no other row has changed.
        """
        ...

    def evaluate(
        self, split: Split, rows: Sequence[int] | None = None
    ) -> Sequence[Mapping[str, float]]:
        """Evaluate rows as :meth:`Problem.evaluate` does.

        Args:
            split: A split that all of the problems hold.
            rows: Which, in increasing order; None: all.

        Returns:
            Metric to number for each of these rows.
        """
        ...


@runtime_checkable
class StackableTask(Task, Protocol):
    """A task that learns, of which B problems compute together."""

    def why_not_stacked(self) -> str | None:
        """Return in words why they do not after all, with its present options, or None."""
        ...

    def stack(self, problems: Sequence[Problem]) -> StackedProblem:
        """Stack problems that this task has built; they must not be in a stack yet."""
        ...


class ParameterStack:
    """Moves the parameters of problems into rows of common tensors; the objects stay the same.

    Args:
        problems: Equal except for their values; each becomes a row.

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
        """Replace the problem of a row.

        Args:
            row: The row.
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
