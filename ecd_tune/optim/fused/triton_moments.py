"""The factors of ``moments.py`` in the kernels, number by number.

``by`` is k, κ⟨v⟩ or 1, ⟨v⟩ and −αr/2 as they are before a step, float64. The place of v is 0 for a
tensor whose scale is not ``"moments"``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ecd_tune.optim.fused.triton_kicks import expm1, larger
from ecd_tune.optim.params import moments

__all__ = ["factor", "gained", "learn_scalars", "learnt", "load_moment", "scaling_at"]

_FORGETTING = tl.constexpr(moments.FORGETTING)
_DAMPING = tl.constexpr(moments.DAMPING)
_FULL_POWER = tl.constexpr(moments.FULL_POWER)
_WARM_UP = tl.constexpr(moments.WARM_UP)
_MEMORY = tl.constexpr(moments.MEMORY)
_INF = tl.constexpr(float("inf"))
_TINY = tl.constexpr(1e-37)


@triton.jit
def scaling_at(scaling, trial, step):
    """Return ``by`` of a step from log k and ⟨v⟩."""
    log_k, mean = tl.load(scaling + 2 * trial), tl.load(scaling + 2 * trial + 1)
    floor = tl.where(mean > 0.0, mean * _DAMPING, 1.0)
    return tl.exp(log_k), floor, mean, expm1(-step.to(tl.float64) / _WARM_UP) * _FULL_POWER


@triton.jit
def load_moment(place, moment, at, low, high):
    """Return v of a chunk, 0 outside of its bounds and where there is none."""
    return tl.load(moment + at, mask=(at >= low) & (at < high) & (place != 0), other=0.0)


@triton.jit
def factor(v, place, by):
    """Return k (v + κ⟨v⟩)^(−αr/2) in the dtype of v; 1 where there is no v."""
    k, floor, mean, power = by
    k, floor = k.to(v.dtype), floor.to(v.dtype)
    mean, power = mean.to(v.dtype), power.to(v.dtype)
    known = tl.where(v > 0.0, v, mean)
    one = tl.full(v.shape, 1.0, v.dtype)
    return tl.where(place != 0, tl.exp(power * tl.log(known + floor)) * k, one)


@triton.jit
def gained(sums, v, u, g, place, share):
    """Add to the sums g·g, |u g|², Σ v and the number of v that are not 0."""
    gg, uu, vv, seen = sums
    g = tl.where(place != 0, g * share, 0.0)
    moved = g * u.to(tl.float64)
    v = v.to(tl.float64)
    return gg + g * g, uu + moved * moved, vv + v, seen + tl.where(v > 0.0, 1.0, 0.0)


@triton.jit
def learn_scalars(scaling, trial, step, by, gg, uu, vv, seen, go):
    """Bring log k and ⟨v⟩ up to date, and return 1/|g|, 0 where the gradient counts nowhere."""
    size, shaped = tl.sqrt(gg), tl.sqrt(uu)
    usable = go & (size > _TINY) & (size < _INF) & (shaped > 0.0)
    log_k = tl.load(scaling + 2 * trial)
    weight = larger(1.0 / (step + 1).to(tl.float64), 1.0 / _MEMORY)
    after = log_k - weight * tl.log(shaped / size)
    tl.store(scaling + 2 * trial, tl.where(usable, after, log_k))
    tl.store(scaling + 2 * trial + 1, tl.where(usable, vv / larger(seen, 1.0), by[2]))
    return tl.where(usable, 1.0 / size, 0.0)


@triton.jit
def learnt(v, g, taken):
    """Return v with the present gradient in it; ``taken`` g is its direction."""
    square = g * taken
    square = square * square
    mean = tl.where(v > 0.0, v + (square - v) * _FORGETTING, square)
    return tl.where(square > 0.0, mean, v)
