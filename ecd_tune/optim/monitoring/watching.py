"""Observers of the steps of ECDSep and ECDq1, which do not make the steps wait.

A :class:`Watcher` is shown each step. What it keeps are references to numbers that the step has
computed anyway; a :class:`StepBuffer` works on many of them at once, so that a step costs neither
an operation nor a wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ecd_tune.optim.driver import StepInput, StepResult
from ecd_tune.optim.dynamics import Constants, PointInfo, StepInfo
from ecd_tune.optim.params.blocks import Algebra, Blocks, Factors
from ecd_tune.optim.unit_speed.step import UnitStepInput

__all__ = ["Step", "StepBuffer", "Watched", "Watcher"]


class Step(NamedTuple):
    """One step, before the parameters move; its scalars are 0-d or ``[B]``.

    Scalars are never changed in place, so that they may be kept; blocks may not.
    """

    made: Tensor
    """The step is made."""
    held: Tensor
    """It was asked for and is not made: the gap is not positive, V < ε2, or not finite."""
    algebra: Algebra
    theta: Blocks
    loss: Tensor
    grads: Blocks
    """∇F, without weight decay."""
    lr: Factors
    top_lr: float | Tensor
    """The largest Δt without scales; Δt̂ at unit speed."""
    weight_decay: Factors | None
    """wd of eq. 15, None where it is 0 everywhere."""
    noise: Blocks | None
    """z of the turn, None where there is none."""
    moved: Blocks
    """ΔΘ, without decoupled weight decay."""
    decays: bool
    """Decoupled weight decay moves the parameters too."""
    seen: PointInfo
    info: StepInfo
    log_energy: Tensor
    constants: Constants
    integrator: str
    unit_speed: bool
    """|Θ̇| = 1, and p replaces Π."""

    @classmethod
    def of(
        cls,
        algebra: Algebra,
        point: StepInput | UnitStepInput,
        made: StepResult[Any],
        noise: Blocks | None,
        integrator: str,
    ) -> Step:
        """Return the observable quantities of a step.

        Args:
            algebra: Layout of the blocks.
            point: What it is made from.
            made: What it comes to.
            noise: z of the turn, or None.
            integrator: ``"algorithm1"`` or ``"sync"``.

        Returns:
            The step.
        """
        return cls(
            made=made.go,
            held=made.held,
            algebra=algebra,
            theta=point.theta,
            loss=point.loss,
            grads=point.grads,
            lr=point.lr,
            top_lr=point.top_lr,
            weight_decay=point.weight_decay,
            noise=noise,
            moved=made.drifted,
            decays=made.moved is not made.drifted,
            seen=made.seen,
            info=made.info,
            log_energy=made.log_energy,
            constants=made.constants,
            integrator=integrator,
            unit_speed=isinstance(point, UnitStepInput),
        )


class Watcher(Protocol):
    """Something that is shown each step."""

    def on_step(self, step: Step) -> None:
        """Observe a step.

        Args:
            step: The step; values may be NaN where it is neither made nor held.
        """


@runtime_checkable
class Watched(Protocol):
    """An optimizer whose steps can be looked at."""

    def watch(self, watcher: Watcher) -> None:
        """Show every further step to ``watcher``."""


class StepBuffer:
    """Keeps numbers of each step, and hands them on as columns.

    Args:
        work: Called with one column for each number, shape ``[T]`` or ``[T, B]``.
        length: Steps that are kept.
    """

    def __init__(self, work: Callable[[Sequence[Tensor]], None], length: int = 256) -> None:
        self._work, self._length = work, length
        self._rows: list[Sequence[Tensor]] = []

    def add(self, numbers: Sequence[Tensor]) -> None:
        """Keep the numbers of one step, 0-d or ``[B]``."""
        self._rows.append(numbers)
        if len(self._rows) == self._length:
            self.flush()

    def clear(self) -> None:
        """Forget what is kept."""
        self._rows = []

    def flush(self) -> None:
        """Pass on the buffered steps."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._work([torch.stack(list(column)) for column in zip(*rows, strict=True)])
