"""One step of BBI, the Born–Infeld optimizer of the paper's reference [6], a baseline.

H = √(V (V + π²)) with V = F − v0 is conserved; E = V_init + δE. With x = log(E/V)::

    target   π_c² = V (e^{2x} − 1)
    kick     π ← π − lr cosh(x) ∇F
    drift    Θ ← Θ + lr e^{−x} π

and now and then a bounce: π keeps its norm and gets a random direction. The momentum is in the
log domain, as in :mod:`ecd_tune.optim.dynamics`, whose phases are used; norms are global over
all tensors, also for the first momentum (the published code normalises tensor by tensor).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ecd_tune.optim.dynamics import (
    Constants,
    Phase,
    PointInfo,
    choose,
    downhill,
    evaluate_point,
    kick,
    log_expm1,
    rescale,
    unit,
)
from ecd_tune.optim.params.blocks import Algebra, Blocks, Factors

__all__ = [
    "BBI_COUNTERS",
    "BBIState",
    "Bounces",
    "Clock",
    "advance_bbi",
    "bbi_bounces",
    "bbi_constants",
    "begin_bbi",
    "due",
    "make_bbi_step",
    "start_bbi",
    "tick",
]

BBI_COUNTERS = ("held", "bad_gradients", "bounces")
"""Names of the counters, in the order of ``BBIState.counts``."""


class Bounces(NamedTuple):
    """When to bounce; int64, 0-d or ``[B]``."""

    T0: Tensor
    T1: Tensor
    n_bounces: Tensor


class Clock(NamedTuple):
    """Counters towards the next bounce, 0-d or ``[B]``."""

    best: Tensor
    """Smallest log V of any step."""
    idle: Tensor
    """Steps since then, or since the last bounce."""
    fixed: Tensor
    """Steps since the last fixed bounce that resets the count."""
    bounces: Tensor
    """Fixed bounces made."""


class BBIState(NamedTuple):
    """State of a run, without Θ and the direction of π; 0-d or ``[B]``."""

    log_p: Tensor
    log_energy: Tensor
    updates: Tensor
    """Steps made that were no bounce, int64."""
    started: Tensor
    """The energy is set."""
    counts: Tensor
    """Int64: steps held, bad gradients, bounces, in the first dimension."""
    clock: Clock


def due(clock: Clock, bounces: Bounces) -> Tensor:
    """Return where this step is a bounce: T1 steps without progress, or T0 steps on."""
    return (clock.idle == bounces.T1) | (clock.fixed == bounces.T0)


def tick(clock: Clock, bounces: Bounces, bounced: Tensor, log_potential: Tensor) -> Clock:
    """Advance the counters by one step or bounce.

    Args:
        clock: Present counters.
        bounces: When to bounce.
        bounced: Whether this was a bounce.
        log_potential: log V of this step.

    Returns:
        The new counters. After max(n_bounces, 1) fixed bounces ``fixed`` passes T0 for good.
    """
    at_T0 = bounced & (clock.fixed == bounces.T0)
    made = clock.bounces + at_T0
    better = ~bounced & (log_potential < clock.best)
    fixed = torch.where(at_T0 & (made < bounces.n_bounces), -1, clock.fixed) + 1
    return Clock(
        best=torch.where(better, log_potential, clock.best),
        idle=torch.where(bounced | better, 0, clock.idle + 1),
        fixed=torch.where(bounced & ~at_T0, clock.fixed, fixed),
        bounces=made,
    )


def start_bbi(
    algebra: Algebra, grads: Blocks, noise: Blocks, seen: PointInfo, log_delta: Tensor
) -> Phase:
    """Set E = V + δE and π along −∇F with π² = E²/V − V.

    Args:
        algebra: Layout of the blocks.
        grads: ∇F.
        noise: Direction to take where the gradient is zero.
        seen: Quantities at the same point.
        log_delta: log δE; -inf for none.

    Returns:
        The phase at t = 0.
    """
    log_energy = torch.logaddexp(seen.log_potential, log_delta)
    log_p = _log_target(seen.log_potential, log_energy - seen.log_potential)
    t = torch.zeros_like(seen.below, dtype=torch.int64)
    return Phase(downhill(algebra, grads, noise), log_p, log_energy, t)


def advance_bbi(
    algebra: Algebra, phase: Phase, seen: PointInfo, lr: Factors, constants: Constants
) -> tuple[list[Tensor], Phase]:
    """Make one step that is not a bounce.

    Args:
        algebra: Layout of the blocks.
        phase: Present phase.
        seen: Quantities at the present parameters.
        lr: Step size Δt of each block, as given to :func:`~ecd_tune.optim.dynamics.evaluate_point`.
        constants: ``conserve`` and ε1 are used.

    Returns:
        The update of the parameters, and the new phase.
    """
    x = phase.log_energy - seen.log_potential
    target = _log_target(seen.log_potential, x)
    allowed = constants.conserve & (x >= 0)
    log_p, _ = rescale(phase.log_p, target, allowed, constants.log_eps1)
    log_cosh = torch.logaddexp(x, -x) - math.log(2.0)
    e, log_p = kick(algebra, phase.e, log_p, seen.force, seen.force_norm, log_cosh)
    moved = algebra.times(algebra.times_each(e, lr), torch.exp(log_p - x))
    return moved, Phase(e, log_p, phase.log_energy, phase.t + 1)


def _log_target(log_potential: Tensor, x: Tensor) -> Tensor:
    return 0.5 * (log_potential + log_expm1(2 * x))


def make_bbi_step(
    algebra: Algebra,
    theta: Blocks,
    loss: Tensor,
    grads: Blocks,
    lr: Factors,
    e: list[Tensor],
    state: BBIState,
    rules: tuple[Constants, Bounces],
    draw: Callable[[bool], Blocks],
    active: Tensor,
) -> tuple[Tensor, list[Tensor], list[Tensor], BBIState]:
    """Make one step or bounce where allowed.

    Args:
        algebra: Layout of the blocks.
        theta: Parameters, in the dtype of the momentum.
        loss: F, float64.
        grads: ∇F.
        lr: Step size Δt of each block.
        e: Direction of π.
        state: State of the run.
        rules: Constants, and when to bounce.
        draw: Called with whether it is for a bounce: uniform numbers, else normal ones.
        active: Where the run continues, bool.

    Returns:
        Where the parameters move; what to add to them there, NaN elsewhere; the direction and
        the state after the step.
    """
    constants, bounces = rules
    seen = evaluate_point(algebra, theta, loss, grads, lr, None, constants)
    live = active & loss.isfinite()
    go = live & seen.ok
    phase = Phase(e, state.log_p, state.log_energy, state.updates)
    started = state.started
    if not bool(started.all()):
        fresh = go & ~started
        first = start_bbi(algebra, grads, draw(False), seen, constants.log_delta)
        phase, started = choose(algebra, fresh, first, phase), started | fresh
    bounce = due(state.clock, bounces) & go
    ticked = tick(state.clock, bounces, bounce, seen.log_potential)
    pairs = zip(ticked, state.clock, strict=True)
    moved, after = advance_bbi(algebra, phase, seen, lr, constants)
    glide = go & ~bounce
    phase = choose(algebra, glide, after, phase)
    if bool(bounce.any()):
        random = draw(True)
        scattered = unit(algebra, random, algebra.norm(random))
        phase = phase._replace(e=algebra.where(bounce, scattered, phase.e))
    below = seen.below | seen.converged
    happened = torch.stack([live & below, live & ~seen.ok & ~below, bounce])
    return (
        glide,
        moved,
        phase.e,
        BBIState(
            log_p=phase.log_p,
            log_energy=phase.log_energy,
            updates=phase.t,
            started=started,
            counts=state.counts + happened,
            clock=Clock(*(torch.where(go, new, old) for new, old in pairs)),
        ),
    )


def begin_bbi(zero: Tensor) -> BBIState:
    """Return a run before its first step.

    Args:
        zero: 0.0, float64, 0-d or ``[B]``.

    Returns:
        The state.
    """
    count = torch.zeros_like(zero, dtype=torch.int64)
    counts = count.new_zeros((len(BBI_COUNTERS), *zero.shape))
    clock = Clock(torch.full_like(zero, math.inf), count, count, count)
    return BBIState(zero - torch.inf, zero, count, count.bool(), counts, clock)


def bbi_constants(values: Mapping[str, Any], device: torch.device) -> Constants:
    """Return the constants of BBI; V is ECDSep's potential with η = 1 and F0 = v0.

    Args:
        values: ``v0``, ``delta_energy``, ``conserve_energy``, ``eps1``, ``eps2``: numbers, or
            lists of B numbers.
        device: Where to put them.

    Returns:
        The constants, 0-d or ``[B]``.
    """

    def column(value: Any) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float64, device=device)

    v0 = column(values["v0"])
    one = torch.ones_like(v0)
    return Constants(
        eta=one,
        nu=torch.zeros_like(v0),
        s=one,
        bounded=one.bool(),
        F0=v0,
        conserve=torch.as_tensor(values["conserve_energy"], dtype=torch.bool, device=device),
        log_eps1=column(values["eps1"]).log(),
        log_eps2=column(values["eps2"]).log(),
        log_delta=column(values["delta_energy"]).log(),
    )


def bbi_bounces(values: Mapping[str, Any], device: torch.device) -> Bounces:
    """Return ``T0``, ``T1`` and ``n_bounces`` as tensors.

    Args:
        values: Numbers, or lists of B numbers.
        device: Where to put them.

    Returns:
        The tensors, 0-d or ``[B]``.
    """
    columns = [
        torch.as_tensor(values[key], dtype=torch.int64, device=device) for key in Bounces._fields
    ]
    return Bounces(*columns)
