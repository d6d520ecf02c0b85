"""The two kernels of a fused step: reduce with the scalars, and update.

``reduce_kernel`` adds up what the scalars need. Row r of the sums belongs to the chunks r,
r + rows, … whatever the number of programs is, so that this changes no bit; the program that
arrives last adds the rows and computes the scalars. ``update_kernel`` then makes the step.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ecd_tune.optim.fused.triton_chunks import sums_of_row
from ecd_tune.optim.fused.triton_moments import scaling_at
from ecd_tune.optim.fused.triton_scalars import N_COEFS, N_CONSTANTS, N_SUMS, SIGN, step_scalars
from ecd_tune.optim.fused.triton_update import update_chunk

__all__ = ["reduce_kernel", "update_kernel"]


@triton.jit
def _total(partials, at, present):
    # Bypasses the first cache, which may hold old values.
    return tl.sum(tl.load(partials + at, mask=present, other=0.0, cache_modifier=".cg"))


@triton.jit(do_not_specialize=["loss", "n_tensors", "n_chunks", "rows"])
def reduce_kernel(
    loss, active, tensors, grads, chunks, rates, lanes, constants, seeds, clock, floats, ints,
    flags, scaling, partials, arrived, coefs, tape, kept, n_tensors, n_chunks, rows,
    PRESENT: tl.constexpr, UNIT: tl.constexpr, SYNC: tl.constexpr, NOISE: tl.constexpr,
    WD: tl.constexpr, REFINED: tl.constexpr, DOUBLE: tl.constexpr, KEEP: tl.constexpr,
    BLOCK: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Sum, and compute the scalars; programs ``[P, B]``, ``WIDTH`` rows or more."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    trial = tl.program_id(1).to(tl.int64)
    TURN: tl.constexpr = SYNC and NOISE
    seed, step = tl.load(seeds + trial), tl.load(clock + trial * 3)
    stride = tl.load(clock + trial * 3 + 2)
    sign = tl.load(constants + trial * N_CONSTANTS + SIGN)
    by = scaling_at(scaling, trial, step)
    partials += trial * rows * N_SUMS
    for row in range(program, rows, programs):
        mm, mf, ff, tt, mz, fz, zz, gg, uu, vv, seen = sums_of_row(
            tensors, grads, chunks, rates, lanes, n_tensors, n_chunks, row, rows, trial, seed, step,
            stride, by, sign, PRESENT, WD, TURN, REFINED, DOUBLE, BLOCK,
        )  # fmt: skip
        at = partials + row * N_SUMS
        tl.store(at, mm)
        tl.store(at + 1, mf)
        tl.store(at + 2, ff)
        if WD:
            tl.store(at + 3, tt)
        if TURN:
            tl.store(at + 4, mz)
            tl.store(at + 5, fz)
            tl.store(at + 6, zz)
        if REFINED:
            tl.store(at + 7, gg)
            tl.store(at + 8, uu)
            tl.store(at + 9, vv)
            tl.store(at + 10, seen)
    tl.debug_barrier()
    before = tl.atomic_add(arrived + trial, 1, sem="acq_rel", scope="gpu")
    if before == programs - 1:
        tl.store(arrived + trial, 0)
        at = tl.arange(0, WIDTH)
        present = at < rows
        at *= N_SUMS
        mm, mf = _total(partials, at, present), _total(partials + 1, at, present)
        ff = _total(partials + 2, at, present)
        nothing = tl.zeros_like(ff)
        tt, mz, fz, zz = nothing, nothing, nothing, nothing
        gg, uu, vv, seen = nothing, nothing, nothing, nothing
        if WD:
            tt = _total(partials + 3, at, present)
        if TURN:
            mz, fz = _total(partials + 4, at, present), _total(partials + 5, at, present)
            zz = _total(partials + 6, at, present)
        if REFINED:
            gg, uu = _total(partials + 7, at, present), _total(partials + 8, at, present)
            vv, seen = _total(partials + 9, at, present), _total(partials + 10, at, present)
        step_scalars(
            tl.load(loss + trial).to(tl.float64), tl.load(active + trial) != 0,
            mm, mf, ff, tt, mz, fz, zz, gg, uu, vv, seen, by, constants, floats, ints, flags,
            scaling, coefs, clock, tape, kept, tensors, grads, chunks, rates, lanes, n_tensors,
            n_chunks, trial, seed, step, stride, PRESENT, UNIT, SYNC, NOISE, WD, REFINED, DOUBLE,
            KEEP, BLOCK,
        )  # fmt: skip


@triton.jit(do_not_specialize=["n_tensors", "n_chunks"])
def update_kernel(
    tensors, grads, chunks, rates, lanes, constants, seeds, clock, coefs, n_tensors, n_chunks,
    PRESENT: tl.constexpr, SYNC: tl.constexpr, NOISE: tl.constexpr, WD: tl.constexpr,
    REFINED: tl.constexpr, DOUBLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Make the step where requested; programs ``[P, B]``."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    trial = tl.program_id(1).to(tl.int64)
    coefs += trial * N_COEFS
    if tl.load(coefs) != 0.0:
        a, b, cz = tl.load(coefs + 1), tl.load(coefs + 2), tl.load(coefs + 3)
        c, d, nu = tl.load(coefs + 4), tl.load(coefs + 5), tl.load(coefs + 6)
        taken, k, floor = tl.load(coefs + 7), tl.load(coefs + 8), tl.load(coefs + 9)
        by = k, floor, tl.load(coefs + 10), tl.load(coefs + 11)
        seed, step = tl.load(seeds + trial), tl.load(clock + trial * 3 + 1)
        stride = tl.load(clock + trial * 3 + 2)
        sign = tl.load(constants + trial * N_CONSTANTS + SIGN)
        # From the end, where the reduction has just been: some of it is in the cache still.
        for number in range(program, n_chunks, programs):
            update_chunk(
                tensors, grads, chunks, rates, lanes, n_tensors, n_chunks - 1 - number, trial, seed,
                step, stride, sign, a, b, cz, c, d, nu, taken, by, PRESENT, WD, NOISE, SYNC,
                REFINED, DOUBLE, BLOCK,
            )  # fmt: skip
