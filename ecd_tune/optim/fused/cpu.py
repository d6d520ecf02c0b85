"""The compiled step: its tables, and the call. See ``step.h`` for what the fields mean."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.optim.fused.table import FusedRules, Rows, Scalars, Table
from ecd_tune.optim.moments import DAMPING, FORGETTING, FULL_POWER, MEMORY, WARM_UP

try:
    _step: Any = importlib.import_module("ecd_tune.optim.fused._step")
except ImportError:  # no C compiler where the package was built
    _step = None

__all__ = ["Runner", "level", "problem"]

_PIECE = 16384
_ON_GAP = ("hold", "stop", "shift")
_TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("theta", "grad", "momentum", "moment")),
        *((name, ctypes.c_int64) for name in ("size", "begin", "type")),
        *((name, ctypes.c_double) for name in ("lr", "share", "weight_decay", "rate")),
    )


class _Run(ctypes.Structure):
    _fields_ = (
        ("blocks", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("pieces", ctypes.c_void_p),
        ("n_pieces", ctypes.c_int64),
        *(
            (name, ctypes.c_void_p)
            for name in ("partial", "floats", "ints", "flags", "scaling", "steps", "rows", "filled")
        ),
        *(
            (name, ctypes.c_int64)
            for name in (
                "unit_speed", "sync", "chaotic", "conserve", "bounded", "on_gap", "exact",
                "shifts_early", "resets_energy", "double_noise", "size", "seed", "stride",
            )
        ),
        *(
            (name, ctypes.c_double)
            for name in (
                "eta", "nu", "s", "F0", "log_eps1", "log_eps2", "eps2", "shift_factor",
                "rounding", "tiny", "sign", "forgetting", "damping", "full_power", "warm_up",
                "memory",
            )
        ),
    )  # fmt: skip


def problem() -> str | None:
    """Return in words why the compiled step cannot be used, or None."""
    if _step is None:
        return (
            "the compiled step is not there: no C compiler was found when ecd_tune was "
            "installed; install one and reinstall"
        )
    if (ctypes.sizeof(_Block), ctypes.sizeof(_Run)) != (_step.block_bytes, _step.run_bytes):
        return "the compiled step is of another version of ecd_tune; reinstall it"
    return None


def level() -> str:
    """Return the instruction set that was chosen: ``"v4"``, ``"v3"`` or ``"base"``."""
    return str(_step.level)


class Runner:
    """Makes the steps of one trajectory whose parameters are on the CPU.

    Args:
        table: The blocks.
        rules: What the hyperparameters say.
        scalars: The run's scalars; written to.
        rows: Where Diagnostics finds its numbers, or None.
    """

    def __init__(
        self, table: Table, rules: FusedRules, scalars: Scalars, rows: Rows | None
    ) -> None:
        self._table = table
        blocks = table.blocks
        self._blocks = (_Block * len(blocks))(
            *(
                _Block(
                    theta=b.param.data_ptr(),
                    momentum=b.momentum.data_ptr(),
                    moment=None if b.moment is None else b.moment.data_ptr(),
                    size=b.momentum.numel(),
                    begin=b.begin,
                    type=_TYPES[b.param.dtype],
                    share=b.scale,
                    weight_decay=b.weight_decay,
                )
                for b in blocks
            )
        )
        self.set_lr()
        pieces = [
            (number, at)
            for number, b in enumerate(blocks)
            for at in range(0, b.momentum.numel(), _PIECE)
        ]
        self._pieces = np.array(pieces, dtype=np.int64).reshape(-1, 2)
        self._partial = np.empty((len(pieces), _step.sums))
        self._kept = (scalars, rows)
        self._run = _run(rules, table, scalars, rows)
        self._run.blocks = ctypes.addressof(self._blocks)
        self._run.pieces, self._run.n_pieces = self._pieces.ctypes.data, len(pieces)
        self._run.partial = self._partial.ctypes.data
        forms = [
            (b.param.dtype, None if b.param.is_contiguous() else b.param.stride(), Tensor)
            for b in blocks
        ]
        tensors: list[Any] = []
        for b, form in zip(blocks, forms, strict=True):
            tensors += (b.param, b.momentum, form)
        moved = [b.param for b in blocks]
        self._large = sum(b.momentum.numel() for b in blocks) >= 2 * _PIECE
        self._arguments = (
            ctypes.addressof(self._run),
            table.entries,
            table.lists,
            tuple(tensors),
            tuple(table.absent),
            torch.autograd.graph.increment_version,
            moved,
        )

    def set_lr(self) -> None:
        """Take over the step sizes of the table."""
        for block, b in zip(self._blocks, self._table.blocks, strict=True):
            block.lr, block.rate = b.lr, b.rate

    def step(self, loss: float, grads: tuple[Tensor, ...] | None = None) -> int:
        """Make one step.

        Args:
            loss: F, or -F to maximize.
            grads: Instead of the parameters' gradients; laid out as these.

        Returns:
            What came of it, an ``Outcome`` as a plain number.
        """
        threads = torch.get_num_threads() if self._large else 1
        outcome: int = _step.step(*self._arguments, grads, loss, threads)
        return outcome

    def complete(self) -> None:
        """Complete the last row of Diagnostics."""
        _step.complete(ctypes.addressof(self._run), torch.get_num_threads())


def _run(rules: FusedRules, table: Table, scalars: Scalars, rows: Rows | None) -> _Run:
    return _Run(
        count=len(table.blocks),
        floats=scalars.floats.data_ptr(),
        ints=scalars.ints.data_ptr(),
        flags=scalars.flags.data_ptr(),
        scaling=scalars.scaling.data_ptr(),
        steps=scalars.steps.data_ptr(),
        rows=None if rows is None else rows.block.data_ptr(),
        filled=None if rows is None else rows.filled.data_ptr(),
        unit_speed=rules.unit_speed,
        sync=rules.sync,
        chaotic=rules.nu > 0,
        conserve=rules.conserve,
        bounded=rules.s == 1,
        on_gap=_ON_GAP.index(rules.on_gap),
        exact=rules.exact,
        shifts_early=rules.shifts_early,
        resets_energy=rules.resets_energy,
        double_noise=table.double_noise,
        size=table.size,
        seed=ctypes.c_int64(rules.seed).value,
        stride=table.stride,
        eta=rules.eta,
        nu=rules.nu,
        s=rules.s,
        F0=rules.F0,
        log_eps1=rules.log_eps1,
        log_eps2=rules.log_eps2,
        eps2=rules.eps2,
        shift_factor=rules.shift_factor,
        rounding=table.rounding,
        tiny=table.tiny,
        sign=-1.0 if rules.maximize else 1.0,
        forgetting=FORGETTING,
        damping=DAMPING,
        full_power=FULL_POWER,
        warm_up=WARM_UP,
        memory=MEMORY,
    )
