"""The compiled step: its tables, and the call. See ``step.h`` for what the fields mean."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.optim.fused.table import FusedRules, ParamBlock, ParamTable, Rows, Scalars
from ecd_tune.optim.params.moments import DAMPING, FORGETTING, FULL_POWER, MEMORY, WARM_UP

try:
    _step: Any = importlib.import_module("ecd_tune.optim.fused._step")
except ImportError:  # no C compiler where the package was built
    _step = None

__all__ = ["BatchRunner", "Runner", "level", "problem", "step_several"]

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
            "the compiled step is missing: no C compiler was found when ecd_tune was installed; "
            "install one and reinstall ecd_tune"
        )
    sizes = ctypes.sizeof(_Block), ctypes.sizeof(_Run)
    if sizes != (_step.block_bytes, _step.run_bytes) or not hasattr(_step, "step_several"):
        return "the compiled step belongs to another version of ecd_tune; reinstall ecd_tune"
    return None


def level() -> str:
    """Return the instruction set that was chosen: ``"v4"``, ``"v3"`` or ``"base"``."""
    return str(_step.level)


class Runner:
    """Makes the steps of one trajectory whose parameters are on the CPU.

    Args:
        table: The blocks.
        rules: The hyperparameters.
        scalars: The run's scalars; written to.
        rows: Where Diagnostics finds its numbers, or None.
    """

    def __init__(
        self, table: ParamTable, rules: FusedRules, scalars: Scalars, rows: Rows | None
    ) -> None:
        self._table = table
        blocks = table.blocks
        self._blocks = (_Block * len(blocks))(*map(_block, blocks))
        self.set_lr()
        self._pieces = _pieces(table)
        self._partial = np.empty((len(self._pieces), _step.sums))
        self._kept = (scalars, rows)
        self._run = _run(rules, table, scalars, rows)
        self._run.blocks = ctypes.addressof(self._blocks)
        self._run.pieces, self._run.n_pieces = self._pieces.ctypes.data, len(self._pieces)
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

    @property
    def address(self) -> int:
        """Address of the run, for :func:`step_several`; its blocks hold the last gradients."""
        return ctypes.addressof(self._run)

    def set_lr(self) -> None:
        """Copy the step sizes of the table."""
        for block, b in zip(self._blocks, self._table.blocks, strict=True):
            block.lr, block.rate = b.lr, b.rate

    def step(self, loss: float, grads: tuple[Tensor, ...] | None = None) -> int:
        """Make one step.

        Args:
            loss: F, or -F to maximize.
            grads: Instead of the parameters' gradients; laid out as these.

        Returns:
            The result, a ``StepOutcome`` as a plain number.
        """
        threads = torch.get_num_threads() if self._large else 1
        outcome: int = _step.step(*self._arguments, grads, loss, threads)
        return outcome

    def complete(self) -> None:
        """Complete the last row of Diagnostics."""
        _step.complete(ctypes.addressof(self._run), 1, torch.get_num_threads())


class BatchRunner:
    """Makes the steps of B runs whose parameters are on the CPU, each by one thread.

    Args:
        tables: The blocks of each run: rows of the blocks of all, in the same order.
        rules: What the hyperparameters of each say.
        scalars: Of all runs; written to.
        rows: Where Diagnostics finds their numbers.
        blocks: θ, momenta and second moments of all runs, which are kept alive.
    """

    def __init__(
        self,
        tables: Sequence[ParamTable],
        rules: Sequence[FusedRules],
        scalars: Scalars,
        rows: Rows,
        blocks: Sequence[Sequence[Tensor]],
    ) -> None:
        trials, count = len(tables), len(tables[0].blocks)
        self._kept = (scalars, rows, blocks)
        self._pieces = _pieces(tables[0])
        self._partial = np.empty((trials, len(self._pieces), _step.sums))
        self._blocks = (_Block * (trials * count))(*(_block(b) for t in tables for b in t.blocks))
        self._runs = (_Run * trials)()
        for number, (table, own) in enumerate(zip(tables, rules, strict=True)):
            run = _run(own, table, scalars, rows, number)
            at = number * count
            for block, b in zip(self._blocks[at : at + count], table.blocks, strict=True):
                block.lr, block.rate = b.lr, b.rate
            run.blocks = ctypes.addressof(self._blocks) + at * ctypes.sizeof(_Block)
            run.pieces, run.n_pieces = self._pieces.ctypes.data, len(self._pieces)
            run.partial = self._partial[number].ctypes.data
            self._runs[number] = run
        self._grads = (ctypes.c_void_p * count)()

    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step; see :class:`~ecd_tune.optim.fused.table.BatchRunner`.

        Args:
            loss: Float64, ``[B]``.
            grads: Laid out as the parameters.
            active: Bool, ``[B]``.
        """
        loss, active = loss.contiguous(), active.contiguous()
        self._grads[:] = [grad.data_ptr() for grad in grads]
        _step.step_batch(
            ctypes.addressof(self._runs),
            len(self._runs),
            ctypes.addressof(self._grads),
            loss.data_ptr(),
            active.data_ptr(),
            torch.get_num_threads(),
        )

    def complete(self) -> None:
        """Complete the last rows of Diagnostics."""
        _step.complete(ctypes.addressof(self._runs), len(self._runs), torch.get_num_threads())


def step_several(addresses: Sequence[int], losses: Sequence[float]) -> None:
    """Make one step of each of several runs, each by one thread.

    Args:
        addresses: Of the runs; the addresses of their gradients are unchanged since the last step.
        losses: F of each.
    """
    count = len(addresses)
    runs, values = (ctypes.c_uint64 * count)(*addresses), (ctypes.c_double * count)(*losses)
    threads = torch.get_num_threads()
    _step.step_several(ctypes.addressof(runs), ctypes.addressof(values), count, threads)


def _pieces(table: ParamTable) -> np.ndarray[Any, np.dtype[np.int64]]:
    pieces = [
        (number, at)
        for number, b in enumerate(table.blocks)
        for at in range(0, b.momentum.numel(), _PIECE)
    ]
    return np.array(pieces, dtype=np.int64).reshape(-1, 2)


def _block(b: ParamBlock) -> _Block:
    return _Block(
        theta=b.param.data_ptr(),
        momentum=b.momentum.data_ptr(),
        moment=None if b.moment is None else b.moment.data_ptr(),
        size=b.momentum.numel(),
        begin=b.begin,
        type=_TYPES[b.param.dtype],
        share=b.scale,
        weight_decay=b.weight_decay,
    )


def _run(
    rules: FusedRules,
    table: ParamTable,
    scalars: Scalars,
    rows: Rows | None,
    number: int | None = None,
) -> _Run:
    def place(x: Tensor) -> int:
        return (x if number is None else x[number]).data_ptr()

    return _Run(
        count=len(table.blocks),
        floats=place(scalars.floats),
        ints=place(scalars.ints),
        flags=place(scalars.flags),
        scaling=place(scalars.scaling),
        steps=place(scalars.steps),
        rows=None if rows is None else place(rows.block),
        filled=None if rows is None else place(rows.filled),
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
