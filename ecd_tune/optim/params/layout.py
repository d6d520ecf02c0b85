"""One parameter of a torch optimizer as a block of real numbers.

A block is what this process holds of a parameter: of a DTensor its local shard, of a complex
parameter its real view, of a shard of FSDP1 what belongs to the parameter.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ecd_tune.optim.params.noise import Span

__all__ = [
    "as_real",
    "as_stored",
    "block_size",
    "drawn_like",
    "drawn_span",
    "local_block",
    "local_gradient",
    "local_part",
    "momentum_dtype",
    "own_part",
    "unpadded",
]


def block_size(p: Tensor) -> int:
    """Return how many real numbers a parameter has: a DTensor over all its shards."""
    return (p.numel() - _padding(p)) * (2 if p.is_complex() else 1)


def _padding(p: Tensor) -> int:
    """Return how many elements at the end of a shard of FSDP1 belong to no parameter."""
    padding: int = getattr(p, "_shard_numel_padded", 0)
    return padding


def local_part(x: Tensor) -> Tensor:
    """Return what this process holds of it."""
    sharded: Any = x
    held: Tensor = sharded.to_local() if hasattr(x, "placements") else x
    return held


def local_block(p: Tensor) -> Tensor:
    """Return this process's part of a parameter, real, at least 1-d, sharing its memory."""
    return unpadded(p, as_real(local_part(p.detach())))


def as_real(x: Tensor) -> Tensor:
    """Return a real view of at least one dimension; a complex number is two real ones."""
    x = torch.view_as_real(x) if x.is_complex() else x
    return x.view(1) if x.dim() == 0 else x


def unpadded(p: Tensor, x: Tensor) -> Tensor:
    """Return ``x``, laid out as a shard of FSDP1, without what belongs to no parameter."""
    padding = _padding(p)
    return x[: len(x) - padding] if padding else x


def local_gradient(p: Tensor) -> Tensor:
    """Return this process's part of a gradient, dense, laid out as :func:`local_block`."""
    grad: Any = p.grad
    if hasattr(p, "placements") and getattr(grad, "placements", None) != p.placements:
        grad = grad.redistribute(placements=p.placements)  # of a sum that is not made yet
    grad = local_part(grad)
    if grad.layout != torch.strided:
        grad = grad.to_dense()
    return unpadded(p, as_real(grad.resolve_conj()))


def as_stored(p: Tensor, block: Tensor, before: Tensor) -> Tensor:
    """Return a block in the form in which it is stored: shaped and sharded as ``before``."""
    padding = _padding(p)
    if padding:
        return torch.nn.functional.pad(block, (0, padding))
    if not hasattr(before, "placements"):
        return block.view(before.shape)
    from torch.distributed.tensor import DTensor

    sharded: Any = before
    kept: Tensor = DTensor.from_local(
        block.view(local_part(before).shape),
        sharded.device_mesh,
        sharded.placements,
        run_check=False,
        shape=before.shape,
        stride=before.stride(),
    )
    return kept


def drawn_span(p: Tensor, begin: int) -> Span:
    """Return which elements of the vector of all parameters are drawn for this block."""
    if not _shards_rows(p):
        return begin, block_size(p)
    inner = block_size(p) // p.shape[0] if p.shape[0] else 0
    return begin + _first_row(p) * inner, local_block(p).numel()


def drawn_like(p: Tensor, e: Tensor) -> Tensor:
    """Return something of the shape for which numbers are drawn, and of the block's dtype."""
    if not hasattr(p, "placements") or _shards_rows(p):
        return e
    return e.new_empty(p.shape) if p.dim() else e


def own_part(p: Tensor, numbers: Tensor) -> Tensor:
    """Return this process's part of numbers for the whole parameter."""
    if not hasattr(p, "placements") or _shards_rows(p):
        return numbers
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = p
    whole = distribute_tensor(numbers, sharded.device_mesh, sharded.placements, src_data_rank=None)
    return local_part(whole)


def _shards_rows(p: Tensor) -> bool:
    """Return whether a DTensor is cut along its first dimension only: local shards are spans."""
    placements = getattr(p, "placements", ())
    shards = [placement for placement in placements if not placement.is_replicate()]
    return len(shards) == 1 and type(shards[0]).__name__ == "Shard" and shards[0].dim == 0


def _first_row(p: Tensor) -> int:
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    sharded: Any = p
    _, offset = compute_local_shape_and_global_offset(
        p.shape, sharded.device_mesh, sharded.placements
    )
    return int(offset[0])


def momentum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which the momentum of a parameter of ``dtype`` is kept."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32
