"""Optimizers of the rows of a stack that make their steps together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from ecd_tune.objective.batched import MakeBatched
from ecd_tune.optim import RefillableOptimizer
from ecd_tune.optim.base import LossOptimizer
from ecd_tune.optim.joint_steps import JointSteps, Member
from ecd_tune.records import Scalar
from ecd_tune.tasks import StackedProblem

__all__ = ["RowOptimizer", "RowOptimizers"]


class RowOptimizer:
    """A row of a batched optimizer with the interface of an optimizer of one run.

    Its state is that of torch's optimizer, so that a run can be resumed in either form.

    Args:
        row: The row.
        batched: The batched optimizer; a trial has begun in the row.
        single: The optimizer of one run with the same hyperparameters.
        mark: Called with the row when a step is asked for.

    Attributes:
        param_groups: One group with the ``lr`` that the next step has.
    """

    def __init__(
        self,
        row: int,
        batched: RefillableOptimizer,
        single: torch.optim.Optimizer,
        mark: Callable[[int], None],
    ) -> None:
        self.param_groups = single.param_groups
        self._row, self._batched, self._single, self._mark = row, batched, single, mark

    def step(self, closure: Callable[[], float]) -> None:
        """Request a step, which :meth:`RowOptimizers.step` makes; the loss is not used."""
        self._mark(self._row)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer of one run."""
        states = enumerate(self._batched.row_state(self._row))
        return self._single.state_dict() | {"state": {n: own for n, own in states if own}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the state of the optimizer of one run.

        Raises:
            ValueError: It does not fit.
        """
        self._single.load_state_dict(state)
        self.param_groups = self._single.param_groups
        found = self._single.state
        states = [found.get(p, {}) for group in self.param_groups for p in group["params"]]
        if any(states):
            self._batched.load_row_state(self._row, states)
        found.clear()


class RowOptimizers:
    """The batched optimizer of a stack, if there is one whose rows can be replaced.

    Args:
        stack: Whose parameters it moves.
    """

    def __init__(self, stack: StackedProblem) -> None:
        self._stack = stack
        self._joint = JointSteps()
        self._batched: RefillableOptimizer | None = None
        self._asked = False
        self._rows: dict[int, RowOptimizer] = {}
        self._lrs: list[float] = []
        self._no_losses = torch.zeros(len(stack.problems))  # these optimizers do not use it
        self._marked: list[int] = []
        self._free = set(range(len(stack.problems)))

    def offer(
        self,
        make: MakeBatched,
        row: int,
        single: torch.optim.Optimizer,
        values: Mapping[str, Scalar],
    ) -> torch.optim.Optimizer | None:
        """Return an optimizer of a row that moves with the others, or None.

        Args:
            make: Makes a batched optimizer; always the same.
            row: The row.
            single: Used instead if there is none.
            values: Its hyperparameters.

        Raises:
            HyperparameterError: They are not allowed.
        """
        if isinstance(values.get("scale", 1.0), str):  # is found in the first steps of all rows
            return None
        if not self._asked:
            rows = len(self._stack.problems)
            made = make(self._stack.parameters, [0] * rows, [values] * rows)
            self._asked = True
            self._batched = made if isinstance(made, RefillableOptimizer) else None
        if self._batched is None:
            return None
        self._batched.begin_row(row, values)
        own = RowOptimizer(row, self._batched, single, self._mark)
        self._rows[row], self._lrs = own, []  # all must be set again
        return cast(torch.optim.Optimizer, own)

    def free(self, row: int) -> None:
        """Release a row until it is assigned to another trial."""
        self._free.add(row)

    def join(
        self, row: int, optimizer: torch.optim.Optimizer
    ) -> Callable[[float | Tensor], None] | None:
        """Return what makes the steps of a row's optimizer with those of others.

        Args:
            row: Its optimizer; the row is no longer free.
            optimizer: As a single run has it, or one that was offered.

        Returns:
            To be called with the loss; None if ``optimizer.step`` must be called.
        """
        self._free.discard(row)
        if isinstance(optimizer, LossOptimizer):
            return Member(self._joint, optimizer).step
        return None

    def step(self) -> None:
        """Make the steps that the rows have asked for."""
        self._joint.step()
        if self._batched is None or not self._marked:
            return
        lrs = [1.0] * len(self._no_losses)
        for row, own in self._rows.items():
            lrs[row] = own.param_groups[0]["lr"]
        if lrs != self._lrs:
            self._batched.set_lr(lrs)
            self._lrs = lrs
        active = torch.zeros(len(lrs), dtype=torch.bool)
        active[[*self._marked, *self._free]] = True  # all rows at once are quicker than most
        self._batched.step(self._no_losses, self._stack.gradients, active)
        self._marked = []

    def _mark(self, row: int) -> None:
        self._marked.append(row)
