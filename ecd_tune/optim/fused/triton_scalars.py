"""The scalars of one fused step: as in :mod:`~ecd_tune.optim.driver` and ``unit_speed.step``.

Everything is float64 and in logarithms, as there, and comes from the sums m·m, m·f, f·f and those
with θ and z. The direction of Π is e = m/|m|. A norm |keep e − push f| is expanded in these sums;
where its terms cancel it is measured number by number (:func:`~.triton_update.measure`).
"""

from __future__ import annotations

import triton
import triton.language as tl

from ecd_tune.optim.fused.triton_kicks import (
    expm1,
    inverse_of,
    kicked,
    larger,
    log_after,
    logaddexp,
)
from ecd_tune.optim.fused.triton_moments import learn_scalars
from ecd_tune.optim.fused.triton_update import measure

__all__ = ["CONSTANTS", "N_COEFS", "N_CONSTANTS", "N_SUMS", "SIGN", "TAPE", "step_scalars"]

CONSTANTS = (
    "eta", "nu", "s", "F0", "conserve", "log_eps1", "log_eps2", "sign", "stops", "shifts",
    "shift_factor", "early", "resets", "size", "eps2", "exact", "rounding", "tiny",
)  # fmt: skip
"""Constants of a run, float64, in this order.

``sign`` of the gradients is −1 to maximize; ``early``: V < ε2 lowers F0 too; ``size``: n of ECDq1;
``eps2`` and ``exact`` (the flow) are those of ECDq1; ``rounding`` and ``tiny`` those of the flows
in :mod:`~ecd_tune.optim.unit_speed.isokinetic`.
"""
TAPE = 17
"""Numbers of a step that ``Diagnostics`` sees, in its order; kept in a ring of rows."""

N_SUMS, N_COEFS = tl.constexpr(11), tl.constexpr(12)
"""Sums of a row, and numbers that the update reads from the scalars."""
N_CONSTANTS = tl.constexpr(len(CONSTANTS))
SIGN = tl.constexpr(CONSTANTS.index("sign"))
_TAPE = tl.constexpr(TAPE)
_INF = tl.constexpr(float("inf"))
_NAN = tl.constexpr(float("nan"))
_TINY = tl.constexpr(1e-37)
_LOG_TWO = tl.constexpr(0.6931471805599453)


@triton.jit
def step_scalars(
    loss, on, mm, mf, ff, tt, mz, fz, zz, gg, uu, vv, seen, by, constants, floats, ints, flags,
    scaling, coefs, clock, tape, rows, tensors, grads, chunks, rates, lanes, n_tensors, n_chunks,
    trial, seed, step, stride,
    PRESENT: tl.constexpr, UNIT: tl.constexpr, SYNC: tl.constexpr, NOISE: tl.constexpr,
    WD: tl.constexpr, REFINED: tl.constexpr, DOUBLE: tl.constexpr, KEEP: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute the coefficients of the update, and bring the state of the run up to date."""
    # Sums of float64 numbers have their rounding, those of shorter ones are nearly exact.
    ROUGH: tl.constexpr = 1e-2 if PRESENT >= 8 else 1e-7
    one = constants + trial * N_CONSTANTS
    eta, nu, s, given = tl.load(one), tl.load(one + 1), tl.load(one + 2), tl.load(one + 3)
    conserve, log_eps1, log_eps2 = tl.load(one + 4) != 0.0, tl.load(one + 5), tl.load(one + 6)
    sign, n, exact = tl.load(one + 7), tl.load(one + 13), tl.load(one + 15) != 0.0
    rounding, tiny = tl.load(one + 16), tl.load(one + 17)
    if UNIT:
        floats += trial
        ints += trial * 4
        flags += trial * 2
        log_energy, shifted = 0.0 * eta, 0.0 * eta
        stopped = conserve & (eta < 0.0)
    else:
        floats += trial * 3
        ints += trial * 7
        flags += trial * 3
        log_energy, shifted = tl.load(floats + 1), tl.load(floats + 2)
        stopped = tl.load(flags + 1) != 0
    log_p, updates, first_bad = tl.load(floats), tl.load(ints), tl.load(ints + 1)
    started = tl.load(flags) != 0

    F0 = given + shifted
    gap = loss - F0
    if WD:
        gap += 0.5 * tt
    log_gap = tl.log(gap)
    log_potential = eta * log_gap
    size = tl.sqrt(ff)
    finite = on & (tl.abs(loss) < _INF)
    live = finite & ~stopped
    above = (gap > 0.0) & (gap < _INF)
    if UNIT:
        low = gap <= tl.load(one + 14)
        ok = above & (size < _INF)
        go = live & ok & ~low & started
    else:
        low = above & ~(log_potential >= log_eps2)
        ok = above & ~low & (size < _INF)
        go = live & ok & started

    length = tl.sqrt(mm)
    inverse = inverse_of(length)
    ee = tl.where(length > _TINY, 1.0, 0.0).to(tl.float64)
    ef = mf * inverse
    if UNIT:
        before = tl.where(conserve & (log_p == -_INF), 0.0, log_p)
        root = tl.sqrt(eta)
        nu = nu / tl.sqrt(larger(n, 1.0))
        strength = tl.log(root * size * (0.5 * n / larger(n - 1.0, 1.0))) - log_gap
    else:
        before = log_p
        root = 1.0 + 0.0 * eta
        strength = tl.log(eta) - log_gap
    a, b, cz = inverse, 0.0 * inverse, 0.0 * inverse
    cancels = go & (ee < 0.0)
    if SYNC:
        strength -= _LOG_TWO
        closing = tl.where(updates > 0, strength, -_INF)
        keep, push, shift, square, lost = kicked(
            before, ee, ef, size, closing, conserve, exact, rounding, tiny, UNIT, ROUGH
        )
        cancels = go & lost
        norm = tl.sqrt(square)
        a, b = keep * inverse, -push
        if cancels:
            norm = measure(
                a, b, cz, tensors, grads, chunks, rates, lanes, n_tensors, n_chunks, trial, seed,
                step, stride, by, sign, PRESENT, WD, False, REFINED, DOUBLE, BLOCK,
            )  # fmt: skip
        back = inverse_of(norm)
        a *= back
        b *= back
        ef = (keep * ef - push * ff) * back
        ee = tl.where(norm > _TINY, 1.0, 0.0).to(tl.float64)
        before = log_after(before, shift, norm, conserve, UNIT)
    old = before
    rescaled = go & (ee < 0.0)
    unreachable = rescaled
    if not UNIT:
        excess = log_energy - log_potential
        target = tl.where(s == 1.0, excess + tl.log(-expm1(-excess)), excess) * 0.5
        distance = tl.abs(before - target)
        difference = 2.0 * larger(before, target) + tl.log(-expm1(-2.0 * distance))
        allowed = conserve & (target > -_INF) & (before > -_INF)
        rescaled = allowed & (difference > log_eps1)
        unreachable = conserve & (s == 1.0) & (excess < 0.0)
        before = tl.where(rescaled, target, before)
    turned = _NAN + 0.0 * eta
    if SYNC and NOISE:
        moves = before > -_INF
        angle = tl.where(moves, nu, 0.0)
        ez = a * mz + b * fz
        whole = ee + angle * angle * zz
        square = whole + 2.0 * angle * ez
        cancels = cancels | (go & (square < ROUGH * whole))
        norm = tl.sqrt(larger(square, 0.0))
        turned = tl.where(moves, norm, _NAN)
        back = inverse_of(norm)
        ef = (ef + angle * fz) * back
        ee = tl.where(norm > _TINY, 1.0, 0.0).to(tl.float64)
        a *= back
        b *= back
        cz = angle * back
    keep, push, shift, square, lost = kicked(
        before, ee, ef, size, strength, conserve, exact, rounding, tiny, UNIT, ROUGH
    )
    a, b, cz = keep * a, keep * b - push, keep * cz
    norm = tl.sqrt(square)
    if cancels | (go & lost):
        norm = measure(
            a, b, cz, tensors, grads, chunks, rates, lanes, n_tensors, n_chunks, trial, seed, step,
            stride, by, sign, PRESENT, WD, SYNC and NOISE, REFINED, DOUBLE, BLOCK,
        )  # fmt: skip
    after = log_after(before, shift, norm, conserve, UNIT)
    if UNIT:
        # p in the place of Π, and V in that of 𝓔, as unit_speed/step.py shows a step to watchers.
        old = tl.where(exact, 0.0, shift + tl.log(norm))
        before = tl.where(conserve, 0.0, after)
        rescaled, unreachable, log_energy = conserve, go & False, log_potential
        speed = tl.exp(before) / root
    else:
        tame = tl.where(after > 700.0, 700.0, tl.where(after < -700.0, -700.0, after))
        speed = 2.0 / (tl.exp(tame) + s * tl.exp(-tame))
        speed = tl.where(after > -_INF, speed, 0.0)

    # All threads must have read the state before one writes it, so that all decide alike.
    tl.debug_barrier()
    coefs += trial * N_COEFS
    tl.store(coefs, tl.where(go, 1.0, 0.0))
    tl.store(coefs + 1, a)
    tl.store(coefs + 2, b)
    tl.store(coefs + 3, cz)
    tl.store(coefs + 4, inverse_of(norm))
    tl.store(coefs + 5, speed)
    tl.store(coefs + 6, tl.where(after > -_INF, nu, 0.0))
    if REFINED:
        k, floor, mean, power = by
        taken = learn_scalars(scaling, trial, step, by, gg, uu, vv, seen, go)
        tl.store(coefs + 7, taken)
        tl.store(coefs + 8, k)
        tl.store(coefs + 9, floor)
        tl.store(coefs + 10, mean)
        tl.store(coefs + 11, power)
    tl.store(clock + trial * 3, step + 1)
    tl.store(clock + trial * 3 + 1, step)

    tl.store(floats, tl.where(go, after, log_p))
    tl.store(ints, updates + go.to(tl.int64))
    tl.store(ints + 1, tl.where(on & ~finite & (first_bad < 0), step, first_bad))
    if UNIT:
        happened = live & low
        converged = low & (gap > 0.0)
        tl.store(ints + 3, tl.load(ints + 3) + (live & ~ok & ~low).to(tl.int64))
    else:
        below = gap <= 0.0
        happened = live & below
        converged = low
        tl.store(ints + 3, tl.load(ints + 3) + (live & low).to(tl.int64))
        tl.store(ints + 4, tl.load(ints + 4) + (live & ~(ok | below | low)).to(tl.int64))
        tl.store(ints + 5, tl.load(ints + 5) + (go & unreachable).to(tl.int64))
        halts = happened & (tl.load(one + 8) != 0.0)
        tl.store(flags + 1, (stopped | halts).to(tl.uint8))
        crossed = below | (low & (tl.load(one + 11) != 0.0))
        lowers = live & crossed & (tl.load(one + 9) != 0.0)
        least = larger(tl.exp(log_eps2 / eta), 2.2250738585072014e-308)
        least = larger(least, 2.220446049250313e-16 * larger(tl.abs(F0), tl.abs(loss)))
        lower = F0 - tl.load(one + 10) * larger(tl.abs(gap), least)
        tl.store(ints + 6, tl.load(ints + 6) + lowers.to(tl.int64))
        tl.store(floats + 2, tl.where(lowers, lower - given, shifted))
        now = tl.where(go, after, log_p)
        measured = logaddexp(2.0 * now, tl.log(s)) + eta * tl.log(gap + (F0 - lower))
        resets = lowers & started & (tl.load(one + 12) != 0.0)
        tl.store(floats + 1, tl.where(resets, measured, log_energy))
    tl.store(ints + 2, tl.load(ints + 2) + happened.to(tl.int64))
    LAST: tl.constexpr = 1 if UNIT else 2
    was = tl.load(flags + LAST) != 0
    converges = live if UNIT else finite
    tl.store(flags + LAST, tl.where(converges, converged, was).to(tl.uint8))

    if KEEP > 0:
        tape += trial * 2
        count, last = tl.load(tape), tl.load(tape + 1)
        row = count % KEEP
        rows += trial * KEEP * _TAPE
        if NOISE and not SYNC:
            # m is normalised only now; its norm belongs to the turn of the last step made.
            if last >= 0:
                previous = rows + last * _TAPE
                moved = tl.load(previous + 14) > -_INF
                tl.store(previous + 8, tl.where(moved, length, _NAN))
        at = rows + row * _TAPE
        tl.store(at, go.to(tl.float64))
        tl.store(at + 1, (on & ~go).to(tl.float64))
        tl.store(at + 2, gap)
        tl.store(at + 3, log_potential)
        tl.store(at + 4, log_energy)
        tl.store(at + 5, s)
        tl.store(at + 6, old)
        tl.store(at + 7, speed * root if UNIT else speed)
        tl.store(at + 8, turned)
        tl.store(at + 9, rescaled.to(tl.float64))
        tl.store(at + 10, unreachable.to(tl.float64))
        tl.store(at + 11, log_gap)
        tl.store(at + 12, size)
        tl.store(at + 13, before)
        tl.store(at + 14, before if UNIT else after)
        tl.store(at + 15, F0)
        tl.store(at + 16, 1.0 / root if UNIT else 1.0 + 0.0 * s)
        tl.store(tape, count + 1)
        tl.store(tape + 1, tl.where(go, row, last))
