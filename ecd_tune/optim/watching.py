"""Who looks at the steps of ECDSep while they are made, without making them wait.

A :class:`Watcher` is shown each step. What it keeps are references to numbers that the step has
computed anyway; a :class:`Tape` works on many of them at once, so that a step costs neither an
operation nor a wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ecd_tune.optim.blocks import Algebra, Blocks, Factors
from ecd_tune.optim.driver import Made, Point
from ecd_tune.optim.dynamics import Constants, StepInfo, Survey
from ecd_tune.optim.fused.table import FUSED_COLUMNS, FUSED_ROWS, Rows

__all__ = ["Step", "Tape", "Watched", "Watcher"]


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
    weight_decay: Factors | None
    """wd of eq. 15, None where it is 0 everywhere."""
    noise: Blocks | None
    """z of the turn, None where there is none."""
    moved: Blocks
    """ΔΘ, without decoupled weight decay."""
    decays: bool
    """Decoupled weight decay moves the parameters too."""
    seen: Survey
    info: StepInfo
    log_energy: Tensor
    constants: Constants
    integrator: str

    @classmethod
    def of(
        cls, algebra: Algebra, point: Point, made: Made, noise: Blocks | None, integrator: str
    ) -> Step:
        """Return what there is to look at in a step.

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
            weight_decay=point.weight_decay,
            noise=noise,
            moved=made.drifted,
            decays=point.decay is not None,
            seen=made.seen,
            info=made.info,
            log_energy=made.log_energy,
            constants=made.constants,
            integrator=integrator,
        )


class Watcher(Protocol):
    """Something that is shown each step."""

    def saw(self, step: Step) -> None:
        """Look at a step.

        Args:
            step: The step; what it says of where it is neither made nor held may be NaN.
        """


@runtime_checkable
class Watched(Protocol):
    """An optimizer whose steps can be looked at."""

    def watch(self, watcher: Watcher) -> None:
        """Show every further step to ``watcher``."""


class Tape:
    """Keeps numbers of each step, and hands them on as columns.

    Args:
        work: Called with one column for each number, shape ``[T]`` or ``[T, B]``.
        length: Steps that are kept.
    """

    def __init__(self, work: Callable[[Sequence[Tensor]], None], length: int = 256) -> None:
        self._work, self._length = work, length
        self._rows: list[Sequence[Tensor]] = []
        self._fused: Rows | None = None

    def open(self, device: torch.device) -> Rows:
        """Return where a fused step writes its numbers; :meth:`flush` hands them on too."""
        if self._fused is None or self._fused.block.device != device:
            self.flush()
            block = torch.zeros((FUSED_ROWS, FUSED_COLUMNS), dtype=torch.float64, device=device)
            self._fused = Rows(block, torch.zeros(1, dtype=torch.int64, device="cpu"))
        return self._fused

    def add(self, numbers: Sequence[Tensor]) -> None:
        """Keep the numbers of one step, 0-d or ``[B]``."""
        self._flush_fused()
        self._rows.append(numbers)
        if len(self._rows) == self._length:
            self.flush()

    def clear(self) -> None:
        """Forget what is kept."""
        self._rows = []
        if self._fused is not None:
            self._fused.filled.zero_()

    def flush(self) -> None:
        """Hand on what is kept."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._work([torch.stack(list(column)) for column in zip(*rows, strict=True)])
        self._flush_fused()

    def _flush_fused(self) -> None:
        fused = self._fused
        if fused is None or int(fused.filled) == 0:
            return
        if fused.complete is not None:
            fused.complete()
        columns = fused.block[: int(fused.filled)].clone().unbind(1)
        fused.filled.zero_()
        self._work(columns)
