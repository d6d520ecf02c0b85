"""The update of a fused step, and the norm of the result, for one chunk of a tensor."""

from __future__ import annotations

import triton
import triton.language as tl

from ecd_tune.optim.fused.triton_chunks import address, load, locate, noise, places, store
from ecd_tune.optim.fused.triton_moments import factor, learnt, load_moment

__all__ = ["measure", "update_chunk"]


@triton.jit
def _combined(
    m, g, theta, z, u, a, b, swd, cz, WD: tl.constexpr, TURN: tl.constexpr, REFINED: tl.constexpr
):
    """Return a m + b u (g + swd θ) + cz z, in the same roundings wherever it is asked for."""
    if WD:
        g = tl.fma(theta, swd, g)
    if REFINED:
        g *= u
    q = tl.fma(m, a, g * b)
    if TURN:
        q = tl.fma(z, cz, q)
    return q


@triton.jit
def _factors(a, b, lr, wd, sign, cz, KIND: tl.constexpr):
    """Return a, sign Δt b, sign wd and cz in the dtype in which a tensor is updated."""
    b, swd = b * lr * sign, wd * sign
    if KIND == 3:
        return a, b, swd, cz
    else:
        return a.to(tl.float32), b.to(tl.float32), swd.to(tl.float32), cz.to(tl.float32)


@triton.jit
def _square_of_chunk(
    square, z0, z1, z2, z3, theta, m, g, place, first, low, high, a, b, cz, lr, wd, by, sign,
    KIND: tl.constexpr, WD: tl.constexpr, TURN: tl.constexpr, REFINED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    MOMENTUM: tl.constexpr = 3 if KIND == 3 else 0
    theta = address(theta, first, KIND, False)
    m = address(m, first, MOMENTUM, False)
    g = address(g, first, KIND, False)
    if REFINED:
        moment = address(place, first, MOMENTUM, False)
    at = places(BLOCK)
    a, b, swd, cz = _factors(a, b, lr, wd, sign, cz, KIND)
    for w in tl.static_range(4):
        p = at + 16 * w
        x = load(m, p, low, high, False)
        y = load(g, p, low, high, False)
        t = x
        if WD:
            t = load(theta, p, low, high, False)
        z = z0
        if w == 1:
            z = z1
        if w == 2:
            z = z2
        if w == 3:
            z = z3
        if TURN:
            z = tl.where((p >= low) & (p < high), z.to(x.dtype), 0.0)
        u = x
        if REFINED:
            u = factor(load_moment(place, moment, p, low, high), place, by)
        q = _combined(x, y, t, z, u, a, b, swd, cz, WD, TURN, REFINED).to(tl.float64)
        square += q * q
    return square


@triton.jit
def measure(
    a, b, cz, tensors, grads, chunks, rates, lanes, n_tensors, n_chunks, trial, seed, step,
    stride, by, sign,
    PRESENT: tl.constexpr, WD: tl.constexpr, TURN: tl.constexpr, REFINED: tl.constexpr,
    DOUBLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Return |a m + b f + cz z|, number by number as the update computes it.

    One program reads everything: it is for the rare step at which the expansion of the norm in
    sums of products cancels.
    """
    square = tl.zeros([BLOCK // 4], dtype=tl.float64)
    for chunk in range(0, n_chunks):
        tensor, kind, _, theta, m, g, place, first, low, high, counter = locate(
            tensors, grads, chunks, chunk, step, stride, trial, BLOCK
        )
        rate = rates + trial * 4 * n_tensors + tensor
        lr, wd = tl.load(rate), tl.load(rate + n_tensors)
        z0, z1, z2, z3 = 0.0, 0.0, 0.0, 0.0
        if TURN:
            z0, z1, z2, z3 = noise(seed, counter, lanes, True, DOUBLE, BLOCK)
        for KIND in tl.static_range(4):
            if (PRESENT >> KIND) % 2 == 1:
                if kind == KIND:
                    square = _square_of_chunk(
                        square, z0, z1, z2, z3, theta, m, g, place, first, low, high, a, b, cz, lr,
                        wd, by, sign, KIND, WD, TURN, REFINED, BLOCK,
                    )  # fmt: skip
    return tl.sqrt(tl.sum(square))


@triton.jit
def _step_word(
    x, y, t, z, v, theta, m, place, moment, at, low, high, a, b, swd, cz, c, d, shrink, nu, taken,
    by,
    FAST: tl.constexpr, WD: tl.constexpr, NOISE: tl.constexpr, SYNC: tl.constexpr,
    REFINED: tl.constexpr,
):  # fmt: skip
    u = x
    if REFINED:
        u = factor(v, place, by)
        inside = (at >= low) & (at < high) & (place != 0)
        tl.store(moment + at, learnt(v, y, taken), mask=inside)
    q = _combined(x, y, t, z, u, a, b, swd, cz, WD, NOISE and SYNC, REFINED) * c
    if REFINED:
        t += tl.fma(t, shrink, q * (d * u))
    else:
        t += tl.fma(t, shrink, q * d)
    if NOISE and not SYNC:
        q = tl.fma(z, nu, q)
    store(theta, at, low, high, t, FAST)
    store(m, at, low, high, q, FAST)


@triton.jit
def _update(
    theta, m, g, place, first, low, high, seed, counter, lanes, lr, wd, shrink, share, a, b, cz, c,
    d, nu, taken, by, sign,
    KIND: tl.constexpr, FAST: tl.constexpr, WD: tl.constexpr, NOISE: tl.constexpr,
    SYNC: tl.constexpr, REFINED: tl.constexpr, DOUBLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    MOMENTUM: tl.constexpr = 3 if KIND == 3 else 0
    theta = address(theta, first, KIND, FAST)
    m = address(m, first, MOMENTUM, FAST)
    g = address(g, first, KIND, FAST)
    moment = m
    at = places(BLOCK)
    # All reads come before the first write: the compiler may not move them past one.
    x0 = load(m, at, low, high, FAST)
    y0 = load(g, at, low, high, FAST)
    t0 = load(theta, at, low, high, FAST)
    x1 = load(m, at + 16, low, high, FAST)
    y1 = load(g, at + 16, low, high, FAST)
    t1 = load(theta, at + 16, low, high, FAST)
    x2 = load(m, at + 32, low, high, FAST)
    y2 = load(g, at + 32, low, high, FAST)
    t2 = load(theta, at + 32, low, high, FAST)
    x3 = load(m, at + 48, low, high, FAST)
    y3 = load(g, at + 48, low, high, FAST)
    t3 = load(theta, at + 48, low, high, FAST)
    v0, v1, v2, v3 = x0, x1, x2, x3
    if REFINED:
        moment = address(place, first, MOMENTUM, False)
        v0 = load_moment(place, moment, at, low, high)
        v1 = load_moment(place, moment, at + 16, low, high)
        v2 = load_moment(place, moment, at + 32, low, high)
        v3 = load_moment(place, moment, at + 48, low, high)
    if NOISE:
        z0, z1, z2, z3 = noise(seed, counter, lanes, FAST, DOUBLE, BLOCK)
        z0, z1, z2, z3 = z0.to(x0.dtype), z1.to(x0.dtype), z2.to(x0.dtype), z3.to(x0.dtype)
    else:
        z0, z1, z2, z3 = x0, x1, x2, x3
    a, b, swd, cz = _factors(a, b, lr, wd, sign, cz, KIND)
    c, d, shrink, nu = c.to(x0.dtype), (d * lr).to(x0.dtype), shrink.to(x0.dtype), nu.to(x0.dtype)
    taken = (taken * share).to(x0.dtype)
    _step_word(
        x0, y0, t0, z0, v0, theta, m, place, moment, at, low, high, a, b, swd, cz, c, d,
        shrink, nu, taken, by, FAST, WD, NOISE, SYNC, REFINED,
    )  # fmt: skip
    _step_word(
        x1, y1, t1, z1, v1, theta, m, place, moment, at + 16, low, high, a, b, swd, cz, c, d,
        shrink, nu, taken, by, FAST, WD, NOISE, SYNC, REFINED,
    )  # fmt: skip
    _step_word(
        x2, y2, t2, z2, v2, theta, m, place, moment, at + 32, low, high, a, b, swd, cz, c, d,
        shrink, nu, taken, by, FAST, WD, NOISE, SYNC, REFINED,
    )  # fmt: skip
    _step_word(
        x3, y3, t3, z3, v3, theta, m, place, moment, at + 48, low, high, a, b, swd, cz, c, d,
        shrink, nu, taken, by, FAST, WD, NOISE, SYNC, REFINED,
    )  # fmt: skip


@triton.jit
def update_chunk(
    tensors, grads, chunks, rates, lanes, n_tensors, chunk, trial, seed, step, stride, sign,
    a, b, cz, c, d, nu, taken, by, PRESENT: tl.constexpr, WD: tl.constexpr, NOISE: tl.constexpr,
    SYNC: tl.constexpr, REFINED: tl.constexpr, DOUBLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Make the step in one chunk.

    q = c (a m + b f), with c cz z in it for ``SYNC``; θ += d Δt u q + expm1(−Δt wd) θ;
    m = q + ν z, for ``SYNC`` m = q; with ``REFINED`` v takes the gradient in.
    """
    tensor, kind, fast, theta, m, g, place, first, low, high, counter = locate(
        tensors, grads, chunks, chunk, step, stride, trial, BLOCK
    )
    rate = rates + trial * 4 * n_tensors + tensor
    lr, wd, shrink = tl.load(rate), tl.load(rate + n_tensors), tl.load(rate + 2 * n_tensors)
    share = tl.load(rate + 3 * n_tensors)
    for KIND in tl.static_range(4):
        if (PRESENT >> KIND) % 2 == 1:
            if kind == KIND:
                if fast:
                    _update(
                        theta, m, g, place, first, low, high, seed, counter, lanes, lr, wd, shrink,
                        share, a, b, cz, c, d, nu, taken, by, sign, KIND, True, WD, NOISE, SYNC,
                        REFINED, DOUBLE, BLOCK,
                    )  # fmt: skip
                else:
                    _update(
                        theta, m, g, place, first, low, high, seed, counter, lanes, lr, wd, shrink,
                        share, a, b, cz, c, d, nu, taken, by, sign, KIND, False, WD, NOISE, SYNC,
                        REFINED, DOUBLE, BLOCK,
                    )  # fmt: skip
