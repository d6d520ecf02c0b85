"""How a unit momentum turns in a field of force: exactly, or to first order.

The flow is dp/dδ = a − p (a·p) with a the unit vector against the force and p·a taken over all
parameters: |p| stays 1 and the angle θ between p and a shrinks, tan ½θ' = e^{−δ} tan ½θ.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ecd_tune.optim.dynamics import unit
from ecd_tune.optim.params.blocks import Algebra, Blocks

__all__ = ["flow_exact", "flow_first_order"]

_MOST = 1e300
"""Longer kicks count as this long."""


def flow_exact(
    algebra: Algebra, e: Blocks, force: Blocks, force_norm: Tensor, log_delta: Tensor
) -> list[Tensor]:
    """Follow dp/dδ = a − p (a·p) from 0 to δ, where a is the direction against the force.

    In a constant field of force that is the motion itself, the isokinetic one: with c = a·p::

        p' = (p + a (sinh δ + c (cosh δ − 1))) / (cosh δ + c sinh δ)

    With w = ½(1+c)e^δ and t = 1 − e^{−δ} the numerator is a multiple of p + a t (1 + t w), which
    is divided by 1 + w: nothing overflows for large δ, and nothing cancels for small ones.

    Args:
        algebra: Layout of the blocks.
        e: p, a unit vector; or 0, which becomes a.
        force: Blocks; zero allowed.
        force_norm: Their norm.
        log_delta: log δ; -inf for no kick.

    Returns:
        p', normalised.
    """
    c = _cosine(algebra, e, force, force_norm)
    delta = log_delta.exp().clamp(max=_MOST)
    # With t < 1 something is left of a p that points exactly against a.
    t = (-torch.expm1(-delta)).clamp(max=1.0 - _rounding(e))
    log_w = torch.log(0.5 * (1.0 + c)) + delta
    keep, lift = torch.sigmoid(-log_w), torch.sigmoid(log_w)
    push = t * (keep + t * lift) / force_norm.clamp(min=_tiny(e))
    flown = algebra.combine(e, keep, force, -push)
    return unit(algebra, flown, algebra.norm(flown))


def flow_first_order(
    algebra: Algebra,
    e: Blocks,
    log_p: Tensor,
    force: Blocks,
    force_norm: Tensor,
    log_delta: Tensor,
) -> tuple[list[Tensor], Tensor]:
    """Change p to p + δ (a − p (a·p)), as the authors' code does in each step.

    Agrees with :func:`flow_exact` up to ½δ² (a·p) |a − p (a·p)|. For δ ≫ 1 it turns p by a right
    angle, where the exact flow turns it to a.

    Args:
        algebra: Layout of the blocks.
        e: Direction of p.
        log_p: log|p|; -inf allowed.
        force: Blocks; zero allowed.
        force_norm: Their norm.
        log_delta: log δ; -inf for no kick.

    Returns:
        New direction and new log|p|.
    """
    c = _cosine(algebra, e, force, force_norm)
    strength = log_delta.clamp(max=-math.log(_rounding(e)))
    keep, push = torch.sigmoid(-strength), torch.sigmoid(strength)  # 1/(1+δ), δ/(1+δ)
    length = log_p.exp()
    along = length * (keep - length * c * push)
    kicked = algebra.combine(e, along, force, -push / force_norm.clamp(min=_tiny(e)))
    size = algebra.norm(kicked)
    softplus = torch.logaddexp(strength, torch.zeros_like(strength))
    return unit(algebra, kicked, size), torch.log(size) + softplus


def _cosine(algebra: Algebra, e: Blocks, force: Blocks, force_norm: Tensor) -> Tensor:
    """Return a·p, over all parameters of all processes; 0 without a force."""
    along = -algebra.dot(e, force) / force_norm.clamp(min=_tiny(e))
    return along.clamp(-1.0, 1.0)


def _rounding(e: Blocks) -> float:
    """Return the root of the rounding error of the coarsest block."""
    return math.sqrt(max(torch.finfo(dtype).eps for dtype in {b.dtype for b in e}))


def _tiny(e: Blocks) -> float:
    """Return the smallest norm that a block's dtype can be divided by."""
    return 1e-300 if all(b.dtype == torch.float64 for b in e) else 1e-37
