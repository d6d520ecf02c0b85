"""What each step computed anyway, handed on to sums as columns, many steps at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ecd_tune.optim.fused.table import FUSED_COLUMNS, FUSED_ROWS, Rows
from ecd_tune.optim.monitoring.watching import Step, StepBuffer

__all__ = ["COLUMNS", "StepRecorder", "Sums"]

COLUMNS = (
    "made", "held", "gap", "log_potential", "log_energy", "s", "log_p_before", "speed", "turned",
    "rescaled", "unreachable", "log_gap", "force_norm", "log_p", "log_p_after", "F0", "pace",
    "top_lr",
)  # fmt: skip
"""Numbers of a step; a fused form writes all but the last, in this order."""


class Sums(Protocol):
    """Sums over steps."""

    def take(self, columns: Mapping[str, Tensor]) -> None:
        """Add steps.

        Args:
            columns: For each of :data:`COLUMNS` the numbers of T steps, ``[T]`` or ``[T, B]``.
        """


class StepRecorder:
    """A :class:`~ecd_tune.optim.monitoring.watching.Watcher` that shows all steps to sums.

    Args:
        sums: Who sees them.
    """

    def __init__(self, *sums: Sums) -> None:
        self._sums = sums
        self._buffer = StepBuffer(self._hand_on)
        self._lrs: list[float | Tensor] = []
        self._one: Tensor | None = None
        self._no_turn: Tensor | None = None
        self._fused: Rows | None = None

    def on_step(self, step: Step) -> None:
        """Keep what the step computed."""
        self._flush_fused()
        seen, info, constants = step.seen, step.info, step.constants
        if self._one is None or self._no_turn is None:
            self._one = torch.ones_like(info.speed)
            self._no_turn = torch.full_like(info.speed, math.nan)
        self._lrs.append(step.top_lr)
        self._buffer.add(
            (
                step.made,
                step.held,
                seen.gap,
                seen.log_potential,
                step.log_energy,
                constants.s,
                info.log_p_before,
                info.speed,
                self._no_turn if info.turned is None else info.turned,
                info.rescaled,
                info.unreachable,
                seen.log_gap,
                seen.force_norm,
                info.log_p,
                info.log_p_after,
                constants.F0,
                self._one if constants.pace is None else constants.pace,
            )
        )

    def open(self, device: torch.device, trials: int | None = None) -> Rows:
        """Return where a fused form writes its rows.

        Args:
            device: Where the parameters are.
            trials: B of a batch.
        """
        self._buffer.flush()
        if self._fused is None or self._fused.block.device != device:
            self._flush_fused()
            shape = (*(() if trials is None else (trials,)), FUSED_ROWS, FUSED_COLUMNS)
            block = torch.zeros(shape, dtype=torch.float64, device=device)
            filled = torch.zeros(trials or 1, dtype=torch.int64, device="cpu")
            self._fused = Rows(block, filled)
        return self._fused

    def flush(self) -> None:
        """Pass on the buffered steps."""
        self._buffer.flush()
        self._flush_fused()

    def clear(self) -> None:
        """Forget what is kept."""
        self._buffer.clear()
        self._lrs = []
        if self._fused is not None:
            self._fused.filled.zero_()

    def _flush_fused(self) -> None:
        if self._fused is not None and int(self._fused.filled[0]):
            self._show(self._fused.take())

    def _hand_on(self, columns: Sequence[Tensor]) -> None:
        lrs, self._lrs = self._lrs, []
        if isinstance(lrs[0], Tensor):
            top = torch.stack([lr for lr in lrs if isinstance(lr, Tensor)])
        else:
            top = torch.tensor(lrs, dtype=torch.float64, device=columns[0].device)
        self._show((*columns, top))

    def _show(self, columns: Sequence[Tensor]) -> None:
        named = dict(zip(COLUMNS, columns, strict=True))
        for key in ("made", "held", "rescaled", "unreachable"):
            named[key] = named[key].bool()
        for sums in self._sums:
            sums.take(named)
