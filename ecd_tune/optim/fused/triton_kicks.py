"""The kick of the momentum, and functions of numbers that the scalars need."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "expm1",
    "inverse_of",
    "kicked",
    "larger",
    "log1p",
    "log_after",
    "logaddexp",
]

_INF = tl.constexpr(float("inf"))
_TINY = tl.constexpr(1e-37)


@triton.jit
def expm1(x):
    """Return exp(x) − 1 to a few ulp (Kahan)."""
    u = tl.exp(x)
    y = u - 1.0
    return tl.where(u == 1.0, x, tl.where(y == -1.0, -1.0, y * x / tl.log(u)))


@triton.jit
def log1p(x):
    """Return log(1 + x) to a few ulp (Kahan)."""
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * x / (u - 1.0))


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def larger(a, b):
    """Return the larger one of two numbers, the second where one is NaN."""
    return tl.where(a > b, a, b)


@triton.jit
def logaddexp(a, b):
    """Return log(exp(a) + exp(b))."""
    top = larger(a, b)
    return tl.where(top > -_INF, top + log1p(tl.exp(-tl.abs(a - b))), top)


@triton.jit
def inverse_of(x):
    """Return 1/x, or 0 where x is too small for a norm."""
    return tl.where(x > _TINY, 1.0 / x, 0.0)


@triton.jit
def _kick(log_p, ee, ef, size, strength):
    """Return ``keep``, ``push``, ``shift`` of a kick: Π becomes exp(shift) (keep e − push f)."""
    log_kick = strength + tl.log(size)
    shift = larger(log_p, log_kick)
    shift = tl.where(shift > -_INF, shift, 0.0)
    push = tl.exp(log_kick - shift) / larger(size, _TINY)
    return tl.exp(log_p - shift), push, shift


@triton.jit
def _flow(log_p, ef, size, strength, conserve, exact, rounding, tiny):
    """Return the same for ``isokinetic.flow_exact``, or for ``flow_first_order``."""
    size = larger(size, tiny)
    c = -ef / size
    c = tl.where(c > 1.0, 1.0, tl.where(c < -1.0, -1.0, c))
    delta = tl.exp(strength)
    delta = tl.where(delta > 1e300, 1e300, delta)
    t = -expm1(-delta)
    t = tl.where(t > 1.0 - rounding, 1.0 - rounding, t)
    log_w = tl.log(0.5 * (1.0 + c)) + delta
    keep = _sigmoid(-log_w)
    push = t * (keep + t * _sigmoid(log_w))
    top = -tl.log(rounding)
    first = tl.where(strength > top, top, strength)
    length = tl.where(conserve, 1.0, tl.exp(log_p))
    turned = _sigmoid(first)
    along = length * (_sigmoid(-first) - length * c * turned)
    shift = tl.where(exact, 0.0, logaddexp(first, 0.0 * first))
    return tl.where(exact, keep, along), tl.where(exact, push, turned) / size, shift


@triton.jit
def kicked(
    log_p, ee, ef, size, strength, conserve, exact, rounding, tiny, UNIT: tl.constexpr,
    ROUGH: tl.constexpr,
):  # fmt: skip
    """Return ``keep``, ``push``, ``shift``, |keep e − push f|² and whether its terms cancel."""
    if UNIT:
        keep, push, shift = _flow(log_p, ef, size, strength, conserve, exact, rounding, tiny)
    else:
        keep, push, shift = _kick(log_p, ee, ef, size, strength)
    whole = keep * keep * ee + push * push * size * size
    square = whole - 2.0 * keep * push * ef
    return keep, push, shift, larger(square, 0.0), square < ROUGH * whole


@triton.jit
def log_after(log_p, shift, norm, conserve, UNIT: tl.constexpr):
    """Return log|Π| after a kick; with conservation, ECDq1 leaves it unchanged."""
    after = shift + tl.log(norm)
    if UNIT:
        after = tl.where(conserve, log_p, after)
    return after
