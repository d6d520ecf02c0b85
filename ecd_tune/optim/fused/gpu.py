"""The fused step on a GPU: the kernels of ``triton_step.py`` as a form of the optimizers."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ecd_tune.optim.fused.table import (
    FUSED_ROWS,
    FusedRules,
    ParamTable,
    Rows,
    Scalars,
    StepOutcome,
)

try:
    _kernels: Any = importlib.import_module("ecd_tune.optim.fused.triton_step")
except ImportError:  # torch brings Triton along where it is built for CUDA
    _kernels = None

__all__ = ["BatchRunner", "Runner", "problem"]


def problem() -> str | None:
    """Return in words why the kernels cannot be used, or None."""
    if _kernels is None:
        return "Triton is not installed; it is part of CUDA builds of torch"
    return None


class Runner:
    """Makes the steps of one trajectory whose parameters are on a GPU.

    Steps do not synchronize with the device. A step can be captured in a CUDA graph: the number
    of the step and the scalars are on the device, and each replay continues from them. Replays
    are not counted in ``steps`` of the trajectory, and do not fill the rows of Diagnostics.

    Args:
        table: The blocks.
        rules: The hyperparameters.
        scalars: The run's scalars; written to.
        rows: Where Diagnostics finds its numbers, or None.
    """

    def __init__(
        self, table: ParamTable, rules: FusedRules, scalars: Scalars, rows: Rows | None
    ) -> None:
        self._table, self._params = table, [b.param for b in table.blocks]
        self._steps = scalars.steps.numpy()
        self._filled = None if rows is None else rows.filled.numpy()
        self._forms = [(p.dtype, p.stride()) for p in self._params]
        self._places = [p.data_ptr() for p in self._params]
        entries = table.entries
        self._held = entries[::3], entries[1::3], entries[2::3]
        self._lists = list(zip(table.lists[::2], table.lists[1::2], strict=True))
        self._device = self._params[0].device
        self._made = _kernels.TritonStep(
            [p.detach() for p in self._params],
            [b.momentum for b in table.blocks],
            _constants(rules),
            unit=rules.unit_speed,
            sync=rules.sync,
            chaotic=rules.nu > 0,
            floats=scalars.floats,
            ints=scalars.ints,
            flags=scalars.flags,
            begins=[b.begin for b in table.blocks],
            total=table.total,
            seeds=[rules.seed],
            step=int(scalars.steps),
            moments=[b.moment for b in table.blocks],
            shares=[b.scale for b in table.blocks],
            scaling=scalars.scaling,
            kept=None if rows is None else rows.block,
            **self._rates(),
        )

    def _rates(self) -> dict[str, list[float]]:
        blocks = self._table.blocks
        return {
            "lr": [b.lr for b in blocks],
            "weight_decay": [b.weight_decay for b in blocks],
            "decay": [b.rate for b in blocks],
        }

    def set_lr(self) -> None:
        """Copy the step sizes of the table."""
        self._made.set_rates(**self._rates())

    def step(self, loss: Any, grads: Sequence[Tensor] | None = None) -> StepOutcome:
        """Make one step.

        Args:
            loss: F, or -F to maximize: one number, on the GPU, of any floating dtype.
            grads: Instead of the parameters' gradients; laid out as these.

        Returns:
            The result.
        """
        if self._changed():
            return StepOutcome.CHANGED
        found = [p.grad for p in self._params] if grads is None else grads
        addresses = []
        for grad, (dtype, stride) in zip(found, self._forms, strict=True):
            if grad is None:
                return StepOutcome.CHANGED
            plain = type(grad) is Tensor and grad.layout is torch.strided and not grad.is_neg()
            if not plain or grad.dtype is not dtype or grad.stride() != stride:
                return StepOutcome.ODD_GRADIENT
            addresses.append(grad.data_ptr())
        if self._filled is not None and self._filled[0] == 0:
            self._made.begin_tape()
        if not isinstance(loss, Tensor):
            loss = torch.tensor(loss, dtype=torch.float64, device=self._device)
        self._made.launch(loss, addresses)
        torch.autograd.graph.increment_version(self._params)
        self._steps += 1
        if self._filled is None:
            return StepOutcome.DONE
        self._filled += 1
        return StepOutcome.FULL if self._filled[0] == FUSED_ROWS else StepOutcome.DONE

    def _changed(self) -> bool:
        """Return whether anything has changed since the table was made."""
        holders, keys, values = self._held
        try:
            if any(map(operator.is_not, map(operator.getitem, holders, keys), values)):
                return True
        except KeyError:
            return True
        for held, items in self._lists:
            if len(held) != len(items) or any(map(operator.is_not, held, items)):
                return True
        if any(p.grad is not None for p in self._table.absent):
            return True
        return list(map(Tensor.data_ptr, self._params)) != self._places

    def complete(self) -> None:
        """Complete the last row of Diagnostics."""
        self._made.complete_tape()


class BatchRunner:
    """Makes the steps of B runs whose parameters are on a GPU.

    Args:
        tables: The blocks of each run: rows of the blocks of all, in the same order.
        rules: What the hyperparameters of each say.
        scalars: Of all runs; written to.
        rows: Where Diagnostics finds their numbers.
        blocks: θ, momenta and second moments of all runs, the latter empty where there are none.
    """

    def __init__(
        self,
        tables: Sequence[ParamTable],
        rules: Sequence[FusedRules],
        scalars: Scalars,
        rows: Rows,
        blocks: Sequence[Sequence[Tensor]],
    ) -> None:
        theta, momenta, moments = blocks
        first = tables[0]

        def columns(name: str) -> list[Tensor]:
            table = [[getattr(b, name) for b in t.blocks] for t in tables]
            return list(torch.tensor(table, dtype=torch.float64).unbind(1))

        constants = [_constants(own) for own in rules]
        self._filled = rows.filled
        self._made = _kernels.TritonStep(
            theta,
            momenta,
            {k: torch.tensor([c[k] for c in constants], dtype=torch.float64) for k in constants[0]},
            unit=rules[0].unit_speed,
            sync=rules[0].sync,
            chaotic=any(own.nu > 0 for own in rules),
            floats=scalars.floats,
            ints=scalars.ints,
            flags=scalars.flags,
            begins=[b.begin for b in first.blocks],
            total=first.total,
            seeds=[own.seed for own in rules],
            step=int(scalars.steps[0]),
            lr=columns("lr"),
            weight_decay=columns("weight_decay"),
            decay=columns("rate"),
            moments=moments or None,
            shares=columns("scale"),
            scaling=scalars.scaling,
            kept=rows.block,
        )

    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step; see :class:`~ecd_tune.optim.fused.table.BatchRunner`.

        Args:
            loss: Float64, ``[B]``.
            grads: Laid out as the parameters.
            active: Bool, ``[B]``.
        """
        if self._filled[0] == 0:
            self._made.begin_tape()
        self._made.step(loss.contiguous(), grads, active.contiguous())
        self._filled += 1

    def complete(self) -> None:
        """Complete the last rows of Diagnostics."""
        self._made.complete_tape()


def _constants(rules: FusedRules) -> Mapping[str, float]:
    return {
        "eta": rules.eta,
        "nu": rules.nu,
        "s": float(rules.s),
        "F0": rules.F0,
        "conserve": float(rules.conserve),
        "log_eps1": rules.log_eps1,
        "log_eps2": rules.log_eps2,
        "stops": float(rules.on_gap == "stop"),
        "shifts": float(rules.shifts_early or rules.on_gap == "shift"),
        "shift_factor": rules.shift_factor,
        "early": float(rules.shifts_early),
        "resets": float(rules.resets_energy),
        "eps2": rules.eps2,
        "exact": float(rules.exact),
        "sign": -1.0 if rules.maximize else 1.0,
    }
