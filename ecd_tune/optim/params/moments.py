"""A factor for the Δt of each number, from running second moments of the gradient's direction.

A factor c multiplies Δt where the momentum is kicked and where the number drifts: a change of
coordinates, θ = c·u. While c moves slowly the momentum in u is kept, and with it the energy, which
depends on |Π| and on V alone. With ĝ the unit gradient in the coordinates of ``scale="share"``::

    c = share · k · (v + κ⟨v⟩)^{−αr/2},   r = 1 − exp(−t/τ);   where v is 0, ⟨v⟩ replaces it
    v ← v + (1 − β)(ĝ² − v)   where ĝ is not 0; the first such ĝ² is v itself
    log k ← log k − w log|ĝ c/share|

c comes first: it knows the gradients before the present one, so that one pass over all numbers
finds what a step needs, and another makes it. ⟨v⟩ is the mean of what there was a step before, over
all numbers that have a v; k follows the factor that leaves the norm of the gradient as it is. So a
run begins with the share rule and comes to a diagonal preconditioner, the power α of 1/√v. Only a
step that is made takes its gradient in.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ecd_tune.optim.dynamics import unit
from ecd_tune.optim.params.blocks import Algebra, Blocks

__all__ = ["DAMPING", "FORGETTING", "FULL_POWER", "MEMORY", "WARM_UP", "learn", "refine"]

FORGETTING = 0.01
"""1 − β."""
DAMPING = 1e-3
"""κ."""
FULL_POWER = 0.375
"""½ α."""
WARM_UP = 300.0
"""Steps, τ."""
MEMORY = 10.0
"""Steps over which log k is averaged, 1/w; less in the first ones."""


def refine(
    algebra: Algebra, moments: Blocks, log_k: Tensor, mean: Tensor, step: int
) -> list[Tensor]:
    """Return the factors of a step.

    Args:
        algebra: Layout of the blocks.
        moments: v; 0 where no gradient was seen.
        log_k: log k, float64, 0-d or ``[B]``.
        mean: ⟨v⟩, shaped alike; 0 where nothing is known of it.
        step: Steps before this one, t.

    Returns:
        k (v + κ⟨v⟩)^{−αr/2} of each number.
    """
    floor = torch.where(mean > 0, DAMPING * mean, 1.0)
    known = [torch.where(v > 0, v, algebra.spread(mean, v).to(v.dtype)) for v in moments]
    power = FULL_POWER * math.expm1(-step / WARM_UP)
    shape = [(v + algebra.spread(floor, v)).pow(power) for v in known]
    return algebra.times(shape, log_k.exp())


def learn(
    algebra: Algebra,
    grads: Blocks,
    factors: Blocks,
    moments: Blocks,
    log_k: Tensor,
    mean: Tensor,
    step: int,
    active: Tensor,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Update the moments by a gradient, for later steps.

    Args:
        algebra: Layout of the blocks.
        grads: The gradient in the coordinates of the share rule; 0 where no factor is wanted.
        factors: Those of the present step, as :func:`refine` has them.
        moments: v so far.
        log_k: log k so far.
        mean: ⟨v⟩ so far.
        step: Steps before this one.
        active: Where the gradient counts, bool, 0-d or ``[B]``.

    Returns:
        The new v, log k and ⟨v⟩. A gradient of norm 0, and one that is not finite, counts nowhere.
    """
    size = algebra.norm(grads)
    directions = unit(algebra, grads, size)
    shaped = algebra.norm([e * f for e, f in zip(directions, factors, strict=True)])
    usable = active & (shaped > 0) & (size < math.inf)
    weight = max(1 / (step + 1), 1 / MEMORY)
    log_k = torch.where(usable, log_k - weight * torch.log(shaped), log_k)
    seen = algebra.sum([(v > 0).to(v.dtype) for v in moments])
    mean = torch.where(usable, algebra.sum(moments) / seen.clamp(min=1.0), mean)
    taken = [_with(v, e.square()) for v, e in zip(moments, directions, strict=True)]
    return algebra.where(usable, taken, moments), log_k, mean


def _with(v: Tensor, square: Tensor) -> Tensor:
    """Update the mean by a square that is not 0; the first one is the mean."""
    mean = torch.where(v > 0, v + FORGETTING * (square - v), square)
    return torch.where(square > 0, mean, v)
