"""Operations of the fused step's kernels on one chunk of a tensor.

A chunk is ``BLOCK`` numbers of the vector of all parameters that belong to one tensor, cut where
the blocks of 64 of the noise are cut; lane ``c`` of ``BLOCK / 4`` lanes holds the numbers
``64 (c // 16) + 16 w + c % 16`` for w = 0 … 3. A chunk that is full and whose addresses are
multiples of 16 bytes is read and written with 16-byte instructions, any other one with masks.

Tables, on the device: ``tensors`` int64 ``[T, 6]`` of θ's address, m's address, first number,
length, kind of dtype, address of the second moments or 0; ``grads`` int64 ``[T]``, addresses;
``chunks`` int32 ``[C, 2]``, tensor and number of the chunk in it; ``rates`` float64 ``[B, 4, T]``,
Δt, wd in the loss, Δt wd decoupled, factor by the share rule; ``clock`` int64 ``[B, 3]``, next
step, present step, stride of the noise; ``lanes`` int32, 0, 1, … In a batch of B trials the numbers
of trial b begin ``b * length`` after the address.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ecd_tune.optim.fused.triton_moments import factor, gained, load_moment
from ecd_tune.optim.fused.triton_noise import normals

__all__ = ["KINDS", "address", "load", "locate", "noise", "places", "store", "sums_of_row"]

KINDS = ("float32", "bfloat16", "float16", "float64")
"""Dtypes of parameters by number; ``PRESENT`` has bit k set where kind k is there."""


@triton.jit
def address(begin, first, KIND: tl.constexpr, FAST: tl.constexpr):
    """Return a pointer to number ``first`` of a tensor of a kind that begins at ``begin``."""
    if KIND == 0:
        p = begin.to(tl.pointer_type(tl.float32))
    elif KIND == 1:
        p = begin.to(tl.pointer_type(tl.bfloat16))
    elif KIND == 2:
        p = begin.to(tl.pointer_type(tl.float16))
    else:
        p = begin.to(tl.pointer_type(tl.float64))
    p += first
    if FAST:
        p = tl.multiple_of(p, 16)
    return p


@triton.jit
def load(p, at, low, high, FAST: tl.constexpr):
    """Return numbers in the dtype in which a tensor is updated; 0 outside of the bounds."""
    if FAST:
        x = tl.load(p + at)
    else:
        x = tl.load(p + at, mask=(at >= low) & (at < high), other=0.0)
    if x.dtype == tl.float64:
        return x
    else:
        return x.to(tl.float32)


@triton.jit
def store(p, at, low, high, x, FAST: tl.constexpr):
    """Write numbers, rounding once to the dtype of the tensor."""
    y = x.to(p.dtype.element_ty)
    if FAST:
        tl.store(p + at, y)
    else:
        tl.store(p + at, y, mask=(at >= low) & (at < high))


@triton.jit
def locate(tensors, grads, chunks, chunk, step, stride, trial, BLOCK: tl.constexpr):
    """Return where a chunk is: its tensor and kind, addresses, first number, bounds, counter."""
    tensor = tl.load(chunks + 2 * chunk).to(tl.int64)
    number = tl.load(chunks + 2 * chunk + 1).to(tl.int64)
    row = tensors + 6 * tensor
    theta, m, begin = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    length, kind, v = tl.load(row + 3), tl.load(row + 4), tl.load(row + 5)
    g = tl.load(grads + tensor)
    begin += step * stride
    skip = begin & 63
    low = skip - number * BLOCK
    first = trial * length - low  # of the chunk's first place; less than 0 where it is skipped
    high = tl.where(low + length < BLOCK, low + length, BLOCK)
    counter = (begin >> 6) * 16 + number * (BLOCK // 4)
    size = tl.where(kind == 3, 8, tl.where(kind == 0, 4, 2))
    half = tl.where(kind == 3, 8, 4)
    odd = ((theta + first * size) | (g + first * size) | (m + first * half)) & 15
    fast = (odd == 0) & (low <= 0) & (high == BLOCK)
    low, high = low.to(tl.int32), high.to(tl.int32)
    return tensor, kind, fast, theta, m, g, v, first, low, high, counter


@triton.jit
def places(BLOCK: tl.constexpr):
    """Return the place of word 0 of each lane."""
    c = tl.arange(0, BLOCK // 4)
    return tl.max_contiguous(tl.multiple_of(64 * (c // 16) + c % 16, [16]), [16])


@triton.jit
def noise(seed, counter, lanes, FAST: tl.constexpr, DOUBLE: tl.constexpr, BLOCK: tl.constexpr):
    """Return the normal numbers of a chunk, one tensor per word."""
    c = tl.arange(0, BLOCK // 4)
    if FAST:
        # Read as the numbers of the chunk are, the lanes lie in the same threads as these: made
        # here, they would lie in others, and the noise would move through shared memory.
        c = tl.load(lanes + c)
    return normals(seed, counter + c, DOUBLE)


@triton.jit
def _add_chunk(
    sums, z0, z1, z2, z3, theta, m, g, place, first, low, high, lr, wd, share, by, sign,
    KIND: tl.constexpr, FAST: tl.constexpr, WD: tl.constexpr, TURN: tl.constexpr,
    REFINED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    mm, mf, ff, tt, mz, fz, zz, gg, uu, vv, seen = sums
    MOMENTUM: tl.constexpr = 3 if KIND == 3 else 0
    theta = address(theta, first, KIND, FAST)
    m = address(m, first, MOMENTUM, FAST)
    g = address(g, first, KIND, FAST)
    if REFINED:
        moment = address(place, first, MOMENTUM, False)
    at = places(BLOCK)
    for w in tl.static_range(4):
        a = at + 16 * w
        x = load(m, a, low, high, FAST).to(tl.float64)
        f = load(g, a, low, high, FAST).to(tl.float64) * sign
        if REFINED:
            v = load_moment(place, moment, a, low, high)
            u = factor(v, place, by)
            gg, uu, vv, seen = gained((gg, uu, vv, seen), v, u, f, place, share)
        if WD:
            t = load(theta, a, low, high, FAST).to(tl.float64)
            f += wd * t
            tt += wd * t * t
        if REFINED:
            f *= u.to(tl.float64)
        f *= lr
        mm += x * x
        mf += x * f
        ff += f * f
        if TURN:
            z = z0
            if w == 1:
                z = z1
            if w == 2:
                z = z2
            if w == 3:
                z = z3
            z = z.to(tl.float64)
            if not FAST:
                z = tl.where((a >= low) & (a < high), z, 0.0)
            mz += x * z
            fz += f * z
            zz += z * z
    return mm, mf, ff, tt, mz, fz, zz, gg, uu, vv, seen


@triton.jit
def sums_of_row(
    tensors, grads, chunks, rates, lanes, n_tensors, n_chunks, row, rows, trial, seed, step,
    stride, by, sign,
    PRESENT: tl.constexpr, WD: tl.constexpr, TURN: tl.constexpr, REFINED: tl.constexpr,
    DOUBLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Return the sums of a row of chunks, float64.

    They are m·m, m·f, f·f, Σ wd θ·θ (with ``WD``), m·z, f·z and z·z (with ``TURN``), for
    f = Δt u (∇F + wd θ), and those of ``moments.py`` (with ``REFINED``). Products of float32
    numbers are exact.
    """
    zero = tl.zeros([BLOCK // 4], dtype=tl.float64)
    sums = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    for chunk in range(row, n_chunks, rows):
        tensor, kind, fast, theta, m, g, place, first, low, high, counter = locate(
            tensors, grads, chunks, chunk, step, stride, trial, BLOCK
        )
        rate = rates + trial * 4 * n_tensors + tensor
        lr, wd, share = tl.load(rate), tl.load(rate + n_tensors), tl.load(rate + 3 * n_tensors)
        z0, z1, z2, z3 = 0.0, 0.0, 0.0, 0.0
        if TURN:  # once for all kinds, which is enough code to compile
            z0, z1, z2, z3 = noise(seed, counter, lanes, True, DOUBLE, BLOCK)
        for KIND in tl.static_range(4):
            if (PRESENT >> KIND) % 2 == 1:
                if kind == KIND:
                    if fast:
                        sums = _add_chunk(
                            sums, z0, z1, z2, z3, theta, m, g, place, first, low, high, lr, wd,
                            share, by, sign, KIND, True, WD, TURN, REFINED, BLOCK,
                        )  # fmt: skip
                    else:
                        sums = _add_chunk(
                            sums, z0, z1, z2, z3, theta, m, g, place, first, low, high, lr, wd,
                            share, by, sign, KIND, False, WD, TURN, REFINED, BLOCK,
                        )  # fmt: skip
    mm, mf, ff, tt, mz, fz, zz, gg, uu, vv, seen = sums
    return (
        tl.sum(mm), tl.sum(mf), tl.sum(ff), tl.sum(tt), tl.sum(mz), tl.sum(fz), tl.sum(zz),
        tl.sum(gg), tl.sum(uu), tl.sum(vv), tl.sum(seen),
    )  # fmt: skip
