"""A factor for the Δt of each number, from running second moments of the gradient's direction.

A factor c multiplies Δt where the momentum is kicked and where the number drifts: a change of
coordinates, θ = c·u. While c moves slowly the momentum in u is kept, and with it the energy, which
depends on |Π| and on V alone. With ĝ the unit gradient in the coordinates of ``scale="share"``::

    v ← v + (1 − β)(ĝ² − v)   where ĝ is not 0; the first such ĝ² is v itself
    c = share · k · (v + κ⟨v⟩)^{−αr/2},   r = 1 − exp(−t/τ)

⟨v⟩ is the mean over all numbers that have a v, and k the running geometric mean of the factor that
leaves the norm of the gradient as it is. So a run begins with the share rule and comes to a
diagonal preconditioner, the power α of 1/√v.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ecd_tune.optim.blocks import Algebra, Blocks
from ecd_tune.optim.dynamics import unit

__all__ = ["refine"]

_BETA = 0.99
_POWER = 0.75
_DAMPING = 1e-3
"""κ."""
_WARM_UP = 300.0
"""Steps, τ."""
_MEMORY = 10.0
"""Steps over which log k is averaged."""


def refine(
    algebra: Algebra, grads: Blocks, moments: Blocks, log_k: Tensor, step: int, active: Tensor
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Take a gradient into the moments, and return the factors that follow.

    Args:
        algebra: Layout of the blocks.
        grads: The gradient in the coordinates of the share rule; 0 where no factor is wanted.
        moments: v so far, shaped as ``grads``; 0 where none was seen.
        log_k: Mean of log k so far, float64, 0-d or ``[B]``.
        step: Steps before this one, t.
        active: Where the gradient counts, bool, 0-d or ``[B]``.

    Returns:
        k (v + κ⟨v⟩)^{−αr/2} of each number, the new v and the new log k. A gradient of norm 0,
        and one that is not finite, counts nowhere.
    """
    size = algebra.norm(grads)
    usable = active & (size > 0) & (size < math.inf)
    directions = unit(algebra, grads, size)
    taken = [_with(v, e.square()) for v, e in zip(moments, directions, strict=True)]
    moments = algebra.where(usable, taken, moments)
    seen = algebra.sum([(v > 0).to(v.dtype) for v in moments])
    floor = _DAMPING * algebra.sum(moments) / seen.clamp(min=1.0)
    floor = torch.where(seen > 0, floor, 1.0)
    power = 0.5 * _POWER * math.expm1(-step / _WARM_UP)
    shape = [(v + algebra.spread(floor, v)).pow(power) for v in moments]
    shaped = algebra.norm([e * f for e, f in zip(directions, shape, strict=True)])
    weight = max(1 / (step + 1), 1 / _MEMORY)
    log_k = torch.where(usable, log_k - weight * (torch.log(shaped) + log_k), log_k)
    return algebra.times(shape, log_k.exp()), moments, log_k


def _with(v: Tensor, square: Tensor) -> Tensor:
    """Take a square into the mean where it is not 0; the first one is the mean."""
    mean = torch.where(v > 0, v + (1 - _BETA) * (square - v), square)
    return torch.where(square > 0, mean, v)
