"""Tables that the kernels of a fused step read in addition to the numbers, as tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ecd_tune.optim.fused.triton_chunks import KINDS
from ecd_tune.optim.fused.triton_scalars import CONSTANTS
from ecd_tune.optim.params.noise import BLOCK, aligned
from ecd_tune.optim.rules import Rules
from ecd_tune.optim.unit_speed.rules import UnitRules

__all__ = ["chunk_table", "constant_table", "noise_stride", "rule_constants", "tensor_table"]


def noise_stride(total: int) -> int:
    """Return how many numbers a step takes of the stream, for ``total`` parameters."""
    return total if total < BLOCK else aligned(total, BLOCK)


def tensor_table(
    theta: Sequence[Tensor],
    momenta: Sequence[Tensor],
    begins: Sequence[int],
    lengths: Sequence[int],
    moments: Sequence[Tensor | None],
) -> Tensor:
    """Return the table of the tensors: addresses, first number, length, kind, second moments.

    Args:
        theta: Parameters.
        momenta: Of each its momentum.
        begins: Where each begins in the vector of all parameters.
        lengths: Numbers of each; of one trial where there are many.
        moments: Of each its second moments, or None.

    Returns:
        int64, ``[T, 6]``, on the CPU.
    """
    names = [str(t.dtype).removeprefix("torch.") for t in theta]
    rows = [
        (
            t.data_ptr(),
            m.data_ptr(),
            begin,
            length,
            KINDS.index(name),
            0 if v is None else v.data_ptr(),
        )
        for t, m, begin, length, name, v in zip(
            theta, momenta, begins, lengths, names, moments, strict=True
        )
    ]
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 6)


def chunk_table(begins: Sequence[int], lengths: Sequence[int], total: int, size: int) -> Tensor:
    """Return the table of the chunks: tensor, and number of the chunk in it.

    Args:
        begins: Where each tensor begins in the vector of all parameters.
        lengths: Numbers of each.
        total: Length of that vector.
        size: Numbers of a chunk.

    Returns:
        int32, ``[C, 2]``, on the CPU.
    """
    moves = noise_stride(total) % BLOCK != 0  # the first number has another address in each step
    parts = []
    for number, (begin, length) in enumerate(zip(begins, lengths, strict=True)):
        skip = BLOCK - 1 if moves else begin % BLOCK
        count = math.ceil((skip + length) / size) if length else 0
        inside = torch.arange(count, dtype=torch.int32)
        parts.append(torch.stack([torch.full_like(inside, number), inside], dim=1))
    return torch.cat(parts) if parts else torch.zeros((0, 2), dtype=torch.int32)


def rule_constants(rules: Rules | UnitRules) -> dict[str, float | Tensor | None]:
    """Return the constants of the rules, by the names of ``CONSTANTS``.

    Args:
        rules: Of ECDSep or of ECDq1, with 0-d or ``[B]`` tensors.
    """
    constants = rules.constants
    values: dict[str, float | Tensor | None] = {
        name: getattr(constants, name)
        for name in ("eta", "nu", "s", "F0", "conserve", "log_eps1", "log_eps2")
    }
    if isinstance(rules, UnitRules):
        return {**values, "eps2": rules.eps2, "exact": float(rules.exact)}
    return {
        **values,
        "stops": rules.stops,
        "shifts": rules.shifts,
        "shift_factor": rules.shift_factor,
        "early": float(rules.shifts_early),
        "resets": float(rules.resets_energy),
    }


def constant_table(
    values: Mapping[str, float | Tensor | None], trials: int, *, size: int, double: bool
) -> Tensor:
    """Return what does not change from step to step.

    Args:
        values: By the names of ``CONSTANTS``, numbers or 0-d or ``[B]``; missing ones are 0,
            ``sign`` 1, and those that follow from the other arguments are added.
        trials: B.
        size: Numbers that move, of one trial.
        double: All momenta are float64.

    Returns:
        float64, ``[B, K]`` in the order of ``CONSTANTS``, on the CPU.
    """
    eps = torch.finfo(torch.float64 if double else torch.float32).eps
    known = {
        "sign": 1.0,
        **values,
        "size": float(size),
        "rounding": math.sqrt(eps),
        "tiny": 1e-300 if double else 1e-37,
    }
    columns = [_double(known.get(name)) for name in CONSTANTS]
    return torch.stack([column.reshape(-1).expand(trials) for column in columns], dim=1)


def _double(value: float | Tensor | None) -> Tensor:
    return torch.as_tensor(0.0 if value is None else value, dtype=torch.float64, device="cpu")
