"""Arithmetic on a parameter vector that is stored as several tensors (blocks).

The vector of all parameters is never assembled. An :class:`Algebra` defines how its blocks are
laid out, so that the formulas of :mod:`ecd_tune.optim.dynamics` are written once for both:

- one trajectory (``batched=False``): a scalar is a 0-d float64 tensor, a norm runs over all
  elements of all blocks;
- B independent trajectories (``batched=True``): every block has a leading dimension B, a
  scalar is a float64 tensor of shape ``[B]``, a norm runs over all dimensions but the first.

Norms accumulate in float64 whatever the dtype of the blocks. Where other processes hold further
parts of the vector, ``reduce`` adds theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

__all__ = ["Algebra", "Blocks", "Factors", "split_flat"]

Blocks = Sequence[Tensor]
Factors = Sequence[float | Tensor]
"""One factor per block; a tensor must broadcast against its block."""


@dataclass(frozen=True)
class Algebra:
    """How scalars and blocks combine.

    Attributes:
        batched: Blocks have a leading trial dimension.
        foreach: Use ``torch._foreach_*``; only for unbatched blocks on one device.
        reduce: Turns one float64 number per block, shape ``[k]``, into their sum over all blocks of
            all processes, 0-d. None where this process holds everything.
    """

    batched: bool = False
    foreach: bool = False
    reduce: Callable[[Tensor], Tensor] | None = None

    def norm(self, x: Blocks) -> Tensor:
        """Return the Euclidean norm over all blocks, float64, 0-d or ``[B]``."""
        if self.batched:
            parts: list[Tensor] = [
                torch.linalg.vector_norm(self._rows(b), dim=1, dtype=torch.float64) for b in x
            ]
        elif self.foreach:
            parts = list(torch._foreach_norm(list(x), 2, dtype=torch.float64))
        else:
            parts = [torch.linalg.vector_norm(b, dtype=torch.float64) for b in x]
        if self.reduce is not None:
            return self.reduce(_stacked(parts).square()).sqrt()
        if len(parts) == 1:
            return parts[0]
        total: Tensor = torch.linalg.vector_norm(_stacked(parts), dim=0)
        return total

    def dot(self, x: Blocks, y: Blocks) -> Tensor:
        """Return the scalar product over all blocks, float64, 0-d or ``[B]``."""
        return self.sum([a * b for a, b in zip(x, y, strict=True)])

    def sum(self, x: Blocks) -> Tensor:
        """Return the sum of all numbers of all blocks, float64, 0-d or ``[B]``."""
        parts = [
            (self._rows(b) if self.batched else b.flatten()).sum(-1, dtype=torch.float64) for b in x
        ]
        stacked = _stacked(parts)
        return stacked.sum(0) if self.reduce is None else self.reduce(stacked)

    @staticmethod
    def _rows(block: Tensor) -> Tensor:
        return block.reshape(len(block), -1)

    def spread(self, scalar: Tensor, block: Tensor) -> Tensor:
        """Return ``scalar`` shaped so that it multiplies ``block`` without changing its dtype."""
        if not self.batched:
            return scalar if scalar.device == block.device else scalar.to(block.device)
        return scalar.to(block.dtype).view(-1, *(1,) * (block.dim() - 1))

    def times(self, x: Blocks, factor: Tensor) -> list[Tensor]:
        """Return ``factor * x``."""
        if self.foreach:
            return list(torch._foreach_mul(list(x), factor))
        return [b * self.spread(factor, b) for b in x]

    def times_each(self, x: Blocks, factors: Factors) -> list[Tensor]:
        """Return the blocks, each multiplied by its own factor."""
        if self.foreach and len({isinstance(f, Tensor) for f in factors}) == 1:
            return list(torch._foreach_mul(list(x), cast("list[float]", list(factors))))
        return [b * f for b, f in zip(x, factors, strict=True)]

    def combine(self, x: Blocks, keep: Tensor | None, y: Blocks, add: Tensor) -> list[Tensor]:
        """Return ``keep * x + add * y``; ``keep=None`` means 1."""
        scaled = self.times(y, add)
        kept = x if keep is None else self.times(x, keep)
        return self.plus(kept, scaled)

    def plus(self, x: Blocks, y: Blocks) -> list[Tensor]:
        """Return ``x + y``."""
        if self.foreach:
            return list(torch._foreach_add(list(x), list(y)))
        return [a + b for a, b in zip(x, y, strict=True)]

    def where(self, mask: Tensor, x: Blocks, y: Blocks) -> list[Tensor]:
        """Return the blocks of ``x`` where ``mask`` holds, else those of ``y``.

        What is not chosen may be NaN.
        """
        if not self.batched:
            masks = [mask.to(b.device) for b in x]
        else:
            masks = [mask.view(-1, *(1,) * (b.dim() - 1)) for b in x]
        return [torch.where(m, a, b) for m, a, b in zip(masks, x, y, strict=True)]


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([p.to(parts[0].device) for p in parts])


def split_flat(flat: Tensor, like: Blocks, lead: int = 0) -> list[Tensor]:
    """Cut a flat vector into blocks.

    Args:
        flat: Shape ``[n]``, or ``[B, n]`` with ``lead=1``.
        like: Blocks whose shapes (without the ``lead`` first dimensions) add up to n elements.
        lead: Number of leading dimensions of ``flat`` that are kept.

    Returns:
        Views into ``flat`` with the shapes, devices and dtypes of ``like``.
    """
    shapes = [b.shape[lead:] for b in like]
    parts = torch.split(flat, [shape.numel() for shape in shapes], dim=lead)
    head = flat.shape[:lead]
    return [
        part.reshape(*head, *shape).to(device=b.device, dtype=b.dtype)
        for part, shape, b in zip(parts, shapes, like, strict=True)
    ]
