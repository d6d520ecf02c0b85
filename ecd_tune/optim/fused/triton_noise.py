"""The normal numbers of :mod:`ecd_tune.optim.params.noise`, made in registers by a Triton kernel.

Four numbers come from one counter, as there: number ``16 w + l`` of a block of 64 is word ``w`` of
lane ``l``. A kernel that holds one counter a lane has in each of the four results runs of 16
numbers, which it loads and stores with the widest instructions.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["normals", "threefry"]

_PARITY = tl.constexpr(0x1BD11BDA)
_TO_TURN = tl.constexpr(2.0**-31)
_TO_ANGLE = tl.constexpr(3.141592653589793 * 2.0**-31)


@triton.jit
def _mix(a, b, BITS: tl.constexpr):
    a += b
    return a, ((b << BITS) | (b >> (32 - BITS))) ^ a


@triton.jit
def _two_rounds(x0, x1, x2, x3, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, D: tl.constexpr):
    x0, x1 = _mix(x0, x1, A)
    x2, x3 = _mix(x2, x3, B)
    x0, x3 = _mix(x0, x3, C)
    x2, x1 = _mix(x2, x1, D)
    return x0, x1, x2, x3


@triton.jit
def threefry(seed, place):
    """Return four words, uint32, for each counter: Threefry-4x32 with 13 rounds.

    Args:
        seed: The run's seed, int64 scalar: words 0 and 1 of the key.
        place: The counters, int64: words 0 and 1 of them.
    """
    k0, k1 = seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    k4 = k0 ^ k1 ^ _PARITY
    x0, x1 = place.to(tl.uint32) + k0, (place >> 32).to(tl.uint32) + k1
    x2, x3 = tl.zeros_like(x0), tl.zeros_like(x0)
    x0, x1, x2, x3 = _two_rounds(x0, x1, x2, x3, 10, 26, 11, 21)
    x0, x1, x2, x3 = _two_rounds(x0, x1, x2, x3, 13, 27, 23, 5)
    x0 += k1
    x3 += k4 + 1
    x0, x1, x2, x3 = _two_rounds(x0, x1, x2, x3, 6, 20, 17, 11)
    x0, x1, x2, x3 = _two_rounds(x0, x1, x2, x3, 25, 10, 18, 20)
    x2 += k4
    x3 += k0 + 2
    x0, x1, x2, x3 = _two_rounds(x0, x1, x2, x3, 10, 26, 11, 21)
    x0, x1, x2, x3 = _two_rounds(x0, x1, x2, x3, 13, 27, 23, 5)
    x1 += k4
    x2 += k0
    x3 += k1 + 3
    x0, x1 = _mix(x0, x1, 6)
    x2, x3 = _mix(x2, x3, 20)
    return x0, x1, x2, x3


@triton.jit
def _log(x):
    """Return log x of normal float32 numbers (the polynomial of Cephes' logf)."""
    bits = x.to(tl.int32, bitcast=True)
    exponent = (bits - 0x3F3504F3) >> 23  # of the mantissa in [√½, √2)
    m = (bits - (exponent << 23)).to(tl.float32, bitcast=True) - 1.0
    e = exponent.to(tl.float32)
    p = m * 7.0376836292e-2 - 1.1514610310e-1
    p = p * m + 1.1676998740e-1
    p = p * m - 1.2420140846e-1
    p = p * m + 1.4249322787e-1
    p = p * m - 1.6668057665e-1
    p = p * m + 2.0000714765e-1
    p = p * m - 2.4999993993e-1
    p = p * m + 3.3333331174e-1
    square = m * m
    y = p * m * square - e * 2.12194440e-4 - 0.5 * square
    return m + y + e * 0.693359375


@triton.jit
def _cos_sin(turn):
    """Return cos and sin of π·2⁻³¹ times a uint32, read as signed (polynomials of Cephes)."""
    quadrant = (turn + 0x20000000) >> 30
    rest = (turn - (quadrant << 30)).to(tl.int32, bitcast=True)
    x = rest.to(tl.float32) * _TO_ANGLE
    z = x * x
    sine = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * x + x
    cosine = (2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2
    cosine = cosine * z * z - 0.5 * z + 1.0
    odd = (quadrant & 1) == 1
    c, s = tl.where(odd, sine, cosine), tl.where(odd, cosine, sine)
    c = tl.where(((quadrant + 1) & 2) == 2, -c, c)
    return c, tl.where((quadrant & 2) == 2, -s, s)


@triton.jit
def _box_muller(size, angle, DOUBLE: tl.constexpr):
    folded = size.to(tl.int32, bitcast=True)
    folded ^= folded >> 31  # 31 bits: small ones, which make the tails, are exact in float32
    if DOUBLE:
        radius = tl.sqrt(tl.abs(-2.0 * tl.log((folded.to(tl.float64) + 0.5) * _TO_TURN)))
        turned = angle.to(tl.int32, bitcast=True).to(tl.float64) * _TO_ANGLE
        c, s = tl.cos(turned), tl.sin(turned)
    else:
        radius = tl.sqrt(tl.abs(-2.0 * _log((folded.to(tl.float32) + 0.5) * _TO_TURN)))
        c, s = _cos_sin(angle)
    return radius * c, radius * s


@triton.jit
def normals(seed, place, DOUBLE: tl.constexpr):
    """Return four standard normal numbers for each counter.

    Args:
        seed: As for :func:`threefry`.
        place: As for :func:`threefry`.
        DOUBLE: float64, else float32.
    """
    x0, x1, x2, x3 = threefry(seed, place)
    z0, z1 = _box_muller(x0, x1, DOUBLE)
    z2, z3 = _box_muller(x2, x3, DOUBLE)
    return z0, z1, z2, z3
