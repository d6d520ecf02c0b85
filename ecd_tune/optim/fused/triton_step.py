"""One fused step on a GPU: two kernels, nothing read back, nothing allocated.

The momenta are kept unnormalised: a step leaves Π̂ + νz, and the next one divides by its norm. All
data of a step is on the device, including the step number, so that a captured CUDA graph continues
with new noise when it is replayed. ``docs`` of the kernels are in
:mod:`~ecd_tune.optim.fused.triton_kernels`; with ``TRITON_INTERPRET=1`` they run on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton
from torch import Tensor

from ecd_tune.optim.fused.triton_chunks import KINDS
from ecd_tune.optim.fused.triton_kernels import reduce_kernel, update_kernel
from ecd_tune.optim.fused.triton_scalars import N_COEFS, N_SUMS
from ecd_tune.optim.fused.triton_tables import (
    chunk_table,
    constant_table,
    noise_stride,
    tensor_table,
)

__all__ = ["FLAGS", "FLOATS", "INTS", "UNIT_FLAGS", "UNIT_FLOATS", "UNIT_INTS", "TritonStep"]

FLOATS = ("log_p", "log_energy", "shift")
INTS = (
    "updates", "first_bad", "held", "converged_steps", "bad_gradients", "unreachable", "shifts",
)  # fmt: skip
FLAGS = ("started", "stopped", "converged")
"""Scalars of an ECDSep run, in the order in which a step takes them."""
UNIT_FLOATS, UNIT_FLAGS = ("log_p",), ("started", "converged")
UNIT_INTS = ("updates", "first_bad", "held", "bad_gradients")
"""Those of ECDq1."""

_UPDATE_TABLES = (
    "tensors", "grads", "chunks", "rates", "lanes", "constants", "seeds", "clock", "coefs",
)  # fmt: skip
_CHUNK = 2048
_ROWS = 1024
_UPDATE_PROGRAMS = 4096
_WARPS = 4
_TURNED, _AFTER = 8, 14
"""Columns of the tape: |Π̂ + νz| of the turn, and log|Π| after the kick."""

Rates = Sequence[float] | Sequence[Tensor]


class TritonStep:
    """Makes the steps of a run, or of B runs, that have started, in place.

    Args:
        theta: Parameters on one device, of the dtypes in ``KINDS``; with B runs each has a first
            dimension B. Their memory is dense, and in the order of their momentum's.
        momenta: Their momenta, unnormalised, float64 for float64 and float32 for the others.
        constants: The hyperparameters, by the names of ``CONSTANTS``: numbers, 0-d tensors or
            ``[B]``; see :func:`~.triton_tables.rule_constants`.
        unit: The step is that of ECDq1, else of ECDSep.
        sync: Kick, turn, kick, drift instead of kick, drift, turn.
        chaotic: Any ν is not 0.
        floats: Scalars of the run, float64, ``[3]`` (:data:`FLOATS`; of ECDq1
            :data:`UNIT_FLOATS`), or ``[B, 3]``; they are changed in place, as are
        ints: int64, :data:`INTS` or :data:`UNIT_INTS`, and
        flags: bool, :data:`FLAGS` or :data:`UNIT_FLAGS`.
        begins: Where each parameter begins in the vector of all of them.
        total: Length of that vector.
        seeds: The seed, or those of B runs.
        step: Number of the next step.
        lr: Δt of each parameter, its scale included: numbers, or float64 ``[B]``.
        weight_decay: wd in the loss of each; None for 0.
        decay: Δt wd of each where it is decoupled; None for 0.
        moments: Of each its second moments, laid out as its momentum, or None; ``lr`` is then
            without the factors that follow from them. None for no second moments anywhere.
        shares: Factor of each by the share rule, used where it has second moments.
        scaling: log k and ⟨v⟩ of ``moments.py``, float64, ``[2]`` or ``[B, 2]``; changed in place.
        kept: Where the numbers of the last steps are kept for diagnostics, float64, ``[k, 17]``
            or ``[B, k, 17]``; None for nowhere.
        chunk: Numbers of a chunk, ``rows`` sums that are added up apart, ``warps`` of a program.
            These change the last bits of a run.
        rows: See the class.
        warps: See the class.
        programs: Of the reduction and of the update; they change no bit.
    """

    def __init__(
        self,
        theta: Sequence[Tensor],
        momenta: Sequence[Tensor],
        constants: Mapping[str, float | Tensor | None],
        *,
        unit: bool,
        sync: bool,
        chaotic: bool,
        floats: Tensor,
        ints: Tensor,
        flags: Tensor,
        begins: Sequence[int],
        total: int,
        seeds: Sequence[int],
        step: int,
        lr: Rates,
        weight_decay: Rates | None = None,
        decay: Rates | None = None,
        moments: Sequence[Tensor | None] | None = None,
        shares: Rates | None = None,
        scaling: Tensor | None = None,
        kept: Tensor | None = None,
        chunk: int = _CHUNK,
        rows: int = _ROWS,
        warps: int = _WARPS,
        programs: tuple[int, int] | None = None,
    ) -> None:
        self._theta, self._momenta = list(theta), list(momenta)
        self._trials = trials = len(seeds)
        device = self._device = theta[0].device
        self.floats, self.ints, self.flags = floats, ints, flags
        lengths = [t.numel() // trials for t in theta]
        double = all(m.dtype == torch.float64 for m in momenta)
        chunks = chunk_table(begins, lengths, total, chunk)
        self._chunks = len(chunks)
        self._rows = max(1, min(rows, self._chunks))
        most = programs or (self._rows, _UPDATE_PROGRAMS)
        self._grids = [
            (max(1, min(count, bound)), trials, 1)
            for count, bound in zip(most, (self._rows, self._chunks), strict=True)
        ]
        self.clock = torch.tensor([[step, step, noise_stride(total)]] * trials).to(device)
        self._layouts = [(t.stride(), t.dtype) for t in theta]
        self._like = [t.detach() for t in theta]
        self._turns = chaotic and not sync
        tape = 0 if kept is None else kept.shape[-2]
        moments = [None] * len(theta) if moments is None else moments
        self._moments = moments  # their addresses are in use
        self._shares = [1.0] * len(theta) if shares is None else shares
        if scaling is None:
            scaling = torch.zeros((trials, 2), dtype=torch.float64, device=device)
        self._folded = [(s - 2**64 if s >= 2**63 else s) for s in (s % 2**64 for s in seeds)]
        kinds = {KINDS.index(str(t.dtype).removeprefix("torch.")) for t in theta}
        self._tables = {
            "tensors": tensor_table(theta, momenta, begins, lengths, moments).to(device),
            "grads": torch.zeros(len(theta), dtype=torch.int64, device=device),
            "chunks": chunks.to(device),
            "rates": torch.zeros((trials, 4, len(theta)), dtype=torch.float64, device=device),
            "lanes": torch.arange(chunk // 4, dtype=torch.int32, device=device),
            "constants": constant_table(constants, trials, size=sum(lengths), double=double).to(
                device
            ),
            "seeds": torch.tensor(self._folded).to(device),
            "clock": self.clock,
            "floats": floats,
            "ints": ints,
            "flags": flags.view(torch.uint8),
            "scaling": scaling,
            "partials": torch.zeros(
                (trials, self._rows, N_SUMS.value), dtype=torch.float64, device=device
            ),
            "arrived": torch.zeros(trials, dtype=torch.int32, device=device),
            "coefs": torch.zeros((trials, N_COEFS.value), dtype=torch.float64, device=device),
            "tape": torch.tensor([[0, -1]] * trials).to(device),
            "kept": torch.zeros(1, dtype=torch.float64, device=device) if kept is None else kept,
        }
        self._no_rows = self._tables["tape"].clone()
        self._everywhere = torch.ones(trials, dtype=torch.uint8, device=device)
        shared = {"PRESENT": sum(1 << k for k in kinds), "SYNC": sync, "NOISE": chaotic}
        shared["REFINED"] = any(v is not None for v in moments)
        self._options = {**shared, "DOUBLE": double, "BLOCK": chunk}
        self._reduce_only = {
            "UNIT": unit,
            "KEEP": tape,
            "WIDTH": triton.next_power_of_2(self._rows),
        }
        self._warps, self._compiled = warps, dict[Any, Any]()
        self._addresses: list[int] | None = None
        self._captured: list[Tensor] = []
        self._spare: Tensor | None = self._pinned(len(theta))
        self._rates: list[Any] | None = None
        self.set_rates(lr, weight_decay, decay)

    def set_rates(
        self, lr: Rates, weight_decay: Rates | None = None, decay: Rates | None = None
    ) -> None:
        """Change Δt and weight decay; arguments as for the class.

        Tensors on the device stay there. Where a graph reads Δt from the device, write to
        :attr:`rates`.
        """
        given = [None if column is None else list(column) for column in (lr, weight_decay, decay)]
        if self._trials == 1 and given == self._rates:
            return
        zeros = [0.0] * len(self._theta)
        columns = [*(zeros if column is None else column for column in given), self._shares]
        rows = torch.stack([self._as_rows(column) for column in columns], dim=1)
        rows[:, 2] = torch.expm1(-rows[:, 2])
        self._penalised = weight_decay is not None and bool((rows[:, 1] != 0).any())
        self._copy(self._tables["rates"], rows)
        self._rates = given

    @property
    def rates(self) -> Tensor:
        """Of each run Δt, wd in the loss, expm1(−Δt wd) and the share of each, ``[B, 4, T]``."""
        return self._tables["rates"]

    def _as_rows(self, column: Sequence[Any]) -> Tensor:
        if any(isinstance(value, Tensor) for value in column):
            parts = [torch.as_tensor(value, dtype=torch.float64).cpu() for value in column]
            return torch.stack([part.reshape(-1).expand(self._trials) for part in parts], dim=1)
        return torch.tensor(column, dtype=torch.float64).expand(self._trials, -1)

    # ------------------------------------------------------------------ the step

    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor | None = None) -> None:
        """Make one step.

        Args:
            loss: F, or −F to maximize, on the device, of a floating dtype, 0-d or ``[B]``.
            grads: One gradient per parameter.
            active: Where a run continues, bool ``[B]``; None for everywhere.
        """
        fitting = [
            g if g.stride() == stride and g.dtype == dtype else _laid_out(g, like)
            for g, (stride, dtype), like in zip(grads, self._layouts, self._like, strict=True)
        ]
        on = self._everywhere if active is None else active.view(torch.uint8)
        self.launch(loss, [g.data_ptr() for g in fitting], on)

    def launch(self, loss: Tensor, addresses: list[int], active: Tensor | None = None) -> None:
        """Make one step from gradients that are laid out as the parameters.

        Args:
            loss: As for :meth:`step`.
            addresses: Where the gradients are; they may be freed in the order of the stream.
            active: Where a run continues, uint8 ``[B]``; None for everywhere.
        """
        if self._device.type == "cuda" and torch.cuda.current_device() != self._device.index:
            with torch.cuda.device(self._device):
                self.launch(loss, addresses, active)
            return
        self._tell_addresses(addresses)
        tables = self._tables
        counts = (len(self._theta), self._chunks)
        self._launch(
            reduce_kernel,
            self._grids[0],
            (loss, self._everywhere if active is None else active, *tables.values()),
            (*counts, self._rows),
            {**self._options, **self._reduce_only, "WD": self._penalised},
        )
        self._launch(
            update_kernel,
            self._grids[1],
            [tables[name] for name in _UPDATE_TABLES],
            counts,
            {**self._options, "WD": self._penalised},
        )

    def _launch(
        self,
        kernel: Any,
        grid: tuple[int, int, int],
        tensors: Sequence[Tensor],
        counts: Sequence[int],
        options: dict[str, Any],
    ) -> None:
        key = (kernel is reduce_kernel, tensors[0].dtype, self._penalised)
        compiled = self._compiled.get(key)
        if compiled is None:
            made = kernel[grid](*tensors, *counts, **options, num_warps=self._warps)
            if self._device.type == "cuda":
                order = [options[name] for name in kernel.arg_names if name in options]
                fixed = [t.data_ptr() for t in tensors]
                self._compiled[key] = made[grid], fixed, (*counts, *order)
            return
        run, addresses, rest = compiled
        if kernel is reduce_kernel:
            addresses[0], addresses[1] = tensors[0].data_ptr(), tensors[1].data_ptr()
        run(*addresses, *rest)

    # ----------------------------------------------------------------- addresses

    def _tell_addresses(self, addresses: list[int]) -> None:
        """Let the device know where the gradients are, where that has changed.

        A graph takes its own list along, and writes it each time it is replayed.
        """
        capturing = self._device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        if not capturing and not self._captured and addresses == self._addresses:
            return
        listed = torch.tensor(addresses, dtype=torch.int64)
        if capturing:
            spare = self._pinned(len(addresses)) if self._spare is None else self._spare
            self._spare = None
            self._captured.append(spare.copy_(listed))
            self._tables["grads"].copy_(spare, non_blocking=True)
            return
        if self._spare is None:
            self._spare = self._pinned(len(addresses))
        self._copy(self._tables["grads"], listed)
        self._addresses = addresses

    def _copy(self, to: Tensor, values: Tensor) -> None:
        pinned = values.pin_memory() if self._device.type == "cuda" else values
        to.copy_(pinned, non_blocking=True)

    def _pinned(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.int64, pin_memory=self._device.type == "cuda")

    # --------------------------------------------------------------- diagnostics

    def begin_tape(self) -> None:
        """Write the numbers of the next step to the first row."""
        self._tables["tape"].copy_(self._no_rows)

    def complete_tape(self) -> None:
        """Write the norm that the last turn left, which the next step would see, to its row."""
        if not self._turns:
            return
        last, kept = self._tables["tape"][:, 1], self._tables["kept"]
        rows = kept.view(self._trials, -1, kept.shape[-1])
        of_trial = torch.arange(self._trials, device=self._device), last.clamp(min=0)
        numbers = rows[of_trial]
        moved = (last >= 0) & (numbers[:, _AFTER] > -torch.inf)
        numbers[:, _TURNED] = torch.where(moved, self._norms(), numbers[:, _TURNED])
        rows[of_trial] = numbers

    def _norms(self) -> Tensor:
        parts = [
            torch.linalg.vector_norm(m.reshape(self._trials, -1), dim=1, dtype=torch.float64)
            for m in self._momenta
        ]
        norms: Tensor = torch.linalg.vector_norm(torch.stack(parts), dim=0)
        return norms


def _laid_out(gradient: Tensor, like: Tensor) -> Tensor:
    """Return a gradient in the dtype and the memory layout of its parameter."""
    return torch.empty_like(like).copy_(gradient)
