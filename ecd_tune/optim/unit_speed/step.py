"""ECD at unit speed (q = 1): the mathematics of one step, for one trajectory and for a batch.

The measure is that of ECDSep with s = 0, ∝ (F − F0)^{−ηn/2}, but time runs such that |Θ̇| = 1
everywhere (arXiv 2501.18419, 2601.22257). The momentum p is a unit vector::

    Θ̇ = p,   ṗ = −½ η n/(n−1) (∇F − p (p·∇F)) / (F − F0)

where n/(n−1) makes up for the change of time. Energy is conserved as |p| = 1. One step is::

    algorithm1   kick(1), drift, turn                   samples with η_eff = 2η/(1 + λ)
    sync         kick(½), turn, kick(½), drift           samples with η, whatever the turn is

λ is the mean cosine of a turn. Δt = Δt̂/√η and ν = ν̂/√n, so that the ranges of Δt̂ and ν̂ depend
neither on η nor on n. The scalar product p·∇F runs over all parameters. A block with its own Δt is
kicked and drifts with it, which is an exact change of its coordinates.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ecd_tune.optim.driver import StepResult
from ecd_tune.optim.dynamics import Constants, PointInfo, StepInfo, downhill, evaluate_point, turn
from ecd_tune.optim.params.blocks import Algebra, Blocks, Factors
from ecd_tune.optim.unit_speed.isokinetic import flow_exact, flow_first_order
from ecd_tune.optim.unit_speed.rules import UnitRules, constants_for

__all__ = [
    "COUNTERS",
    "UnitStepInput",
    "UnitState",
    "begin_unit",
    "make_unit_step",
]

COUNTERS = ("held", "bad_gradients")
"""What is counted, in the order of ``UnitState.counts``."""


class UnitState(NamedTuple):
    """Where a run stands, Θ and the direction of p apart; 0-d or ``[B]``."""

    log_p: Tensor
    """With energy conservation: log of the norm that p has in the parameters that take part, of 1
    in all of them. What is away keeps its share, and takes it back. Without: log|p|."""
    updates: Tensor
    """Steps made, int64."""
    counts: Tensor
    """Int64, with a first dimension over :data:`COUNTERS`."""
    started: Tensor
    """p is set."""
    converged: Tensor
    """0 < F − F0 <= ε2 at the last finite loss."""
    first_bad: Tensor
    """First step whose loss was not finite, int64; -1: none."""


class UnitStepInput(NamedTuple):
    """What a step is made from."""

    theta: Blocks
    """Parameters, in the dtype of the momentum."""
    loss: Tensor
    """F, float64."""
    grads: Blocks
    lr: Factors
    """Δt̂ of each block, scale included."""
    top_lr: float | Tensor
    """The largest Δt̂ without scales."""
    weight_decay: Factors | None
    """wd of each block (eq. 15); None where it is 0 everywhere."""
    size: int
    """n, the numbers that take part, over all processes."""
    step: int
    """Number of the step."""


def begin_unit(zero: Tensor) -> UnitState:
    """Return a run before its first step.

    Args:
        zero: 0.0, float64, 0-d or ``[B]``.

    Returns:
        The state.
    """
    count = torch.zeros_like(zero, dtype=torch.int64)
    counts = count.new_zeros((len(COUNTERS), *zero.shape))
    return UnitState(zero, count, counts, count.bool(), count.bool(), count - 1)


def make_unit_step(
    algebra: Algebra,
    point: UnitStepInput,
    e: list[Tensor],
    state: UnitState,
    rules: UnitRules,
    noise: Blocks | None,
    active: Tensor,
    *,
    starting: bool,
) -> StepResult[UnitState]:
    """Make one step where allowed.

    Args:
        algebra: Layout of the blocks.
        point: Parameters, loss and gradient.
        e: Direction of p.
        state: Where the run stands.
        rules: Its rules.
        noise: z, standard normal; needed where any ν̂ is not 0, and while ``starting``.
        active: Where the run continues, bool.
        starting: p may not be set everywhere yet.

    Returns:
        The step; the state is right everywhere.
    """
    constants = constants_for(rules, point.size)
    seen = evaluate_point(
        algebra,
        point.theta,
        point.loss,
        point.grads,
        point.lr,
        point.weight_decay,
        constants,
    )
    finite = point.loss.isfinite()
    live = active & finite
    low = seen.gap <= rules.eps2
    go = live & seen.ok & ~low
    if starting:
        assert noise is not None
        fresh = go & ~state.started
        e = algebra.where(fresh, _start(algebra, point, noise), e)
        state = state._replace(
            log_p=torch.where(fresh, 0.0, state.log_p), started=state.started | fresh
        )
    turning = noise if rules.chaotic else None
    moved, after, log_p, info = _advance(algebra, point, e, state, seen, rules, constants, turning)
    lost = active & ~finite & (state.first_bad < 0)
    new = UnitState(
        log_p=torch.where(go, log_p, state.log_p),
        updates=state.updates + go,
        counts=state.counts + torch.stack([live & low, live & ~seen.ok & ~low]),
        started=state.started,
        converged=torch.where(live, low & (seen.gap > 0), state.converged),
        first_bad=torch.where(lost, point.step, state.first_bad),
    )
    return StepResult(
        go=go,
        held=active & ~go,
        moved=moved,
        drifted=moved,
        e=after,
        state=new,
        seen=seen,
        info=info,
        constants=constants,
        log_energy=seen.log_potential,
    )


def _start(algebra: Algebra, point: UnitStepInput, noise: Blocks) -> list[Tensor]:
    """Return −g/|g| in the coordinates in which all blocks have one Δt, without weight decay.

    Where every Δt̂ is 0 it is that of plain g, and where g is 0 that of the noise.
    """
    scaled = algebra.times_each(point.grads, point.lr)
    return downhill(algebra, scaled, downhill(algebra, point.grads, noise))


def _advance(
    algebra: Algebra,
    point: UnitStepInput,
    e: Blocks,
    state: UnitState,
    seen: PointInfo,
    rules: UnitRules,
    constants: Constants,
    noise: Blocks | None,
) -> tuple[list[Tensor], list[Tensor], Tensor, StepInfo]:
    """Return ΔΘ, the new direction of p, the new ``log_p``, and what happened."""
    conserve, n, turned = constants.conserve, point.size, None
    # What has no share of p gets one with the kick.
    log_p = torch.where(conserve & (state.log_p == -math.inf), 0.0, state.log_p)
    root = constants.eta.sqrt()
    # The force is Δt̂ ∇F, and Δt η = Δt̂ √η. A single number has no direction to turn to.
    log_delta = torch.log(root * seen.force_norm * (0.5 * n / max(n - 1, 1))) - seen.log_gap
    sync = rules.integrator == "sync"
    if sync:
        log_delta = log_delta - math.log(2.0)
        closing = torch.where(state.updates > 0, log_delta, -math.inf)
        e, log_p, _ = _kick(algebra, e, log_p, seen, rules, closing)
        if noise is not None:
            e, turned = turn(algebra, e, log_p, noise, constants.nu)
    e, log_p, kicked = _kick(algebra, e, log_p, seen, rules, log_delta)
    length = torch.where(conserve, 0.0, log_p)
    speed = length.exp()
    moved = algebra.times(algebra.times_each(e, point.lr), speed / root)
    if not sync and noise is not None:
        e, turned = turn(algebra, e, log_p, noise, constants.nu)
    never = constants.bounded  # no V is too high, at unit speed
    return moved, list(e), log_p, StepInfo(conserve, never, length, kicked, length, speed, turned)


def _kick(
    algebra: Algebra,
    e: Blocks,
    log_p: Tensor,
    seen: PointInfo,
    rules: UnitRules,
    log_delta: Tensor,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return the direction, ``log_p``, and log|p| before it is set to 1."""
    conserve = rules.constants.conserve
    length = torch.where(conserve, 0.0, log_p)
    if rules.exact:
        return flow_exact(algebra, e, seen.force, seen.force_norm, log_delta), log_p, length
    e, kicked = flow_first_order(algebra, e, length, seen.force, seen.force_norm, log_delta)
    return e, torch.where(conserve, log_p, kicked), kicked
