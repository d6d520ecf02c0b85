"""One step of ECDSep as a whole, for one trajectory and for a batch of them.

:mod:`~ecd_tune.optim.dynamics` has the mathematics of a step from a point where V is defined. This
module adds, in this order: set the energy at the first such point; mask trials that must not move;
determine automatic values; update counters; lower F0 if the rules require it. Everything uses
masks: nothing is read back from the device.
"""

from __future__ import annotations

import math
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from ecd_tune.optim.dynamics import (
    Constants,
    Phase,
    PointInfo,
    StepInfo,
    advance,
    decay,
    evaluate_point,
    log_hamiltonian,
    lowered_offset,
    rebase,
    start,
)
from ecd_tune.optim.params.blocks import Algebra, Blocks, Factors
from ecd_tune.optim.rules import Rules
from ecd_tune.optim.self_tuning.adaptive import (
    Auto,
    apply_auto,
    begin_auto,
    learn,
    update_auto,
)

__all__ = [
    "COUNTERS",
    "StepResult",
    "StepInput",
    "RunState",
    "begin_state",
    "make_step",
    "present_constants",
]

COUNTERS = ("held", "converged_steps", "bad_gradients", "unreachable", "shifts")
"""Names of the counters, in the order of ``RunState.counts``."""


class RunState(NamedTuple):
    """State of a run, without Θ and the direction of Π; 0-d or ``[B]``."""

    log_p: Tensor
    log_energy: Tensor
    updates: Tensor
    """Steps made, int64."""
    shift: Tensor
    """F0 in force, less the F0 that was given."""
    counts: Tensor
    """Int64, with a first dimension over :data:`COUNTERS`."""
    started: Tensor
    """The energy is set."""
    stopped: Tensor
    converged: Tensor
    """V < ε2 at the last finite loss."""
    first_bad: Tensor
    """First step whose loss was not finite, int64; -1: none."""
    auto: Auto | None


class StepInput(NamedTuple):
    """Input of a step."""

    theta: Blocks
    loss: Tensor
    """F, float64."""
    grads: Blocks
    """∇F, in the dtype of the momentum."""
    lr: Factors
    """Δt of each block, scale included."""
    top_lr: float | Tensor
    """The largest Δt without scales."""
    scales: Factors | None
    """Factor of each block's Δt; None where all are 1."""
    weight_decay: Factors | None
    """wd of each block in the loss (eq. 15); None where it is 0 everywhere."""
    decay: Factors | None
    """Δt wd of each block where it is decoupled; None where it is 0 everywhere."""
    size: int
    """Numbers that move."""
    step: int
    """Number of the step."""


State = TypeVar("State")


class StepResult(NamedTuple, Generic[State]):
    """Result of a step. Where ``go`` is False, ``moved`` and ``e`` may be NaN."""

    go: Tensor
    """Where the step is made."""
    held: Tensor
    """Where it was requested and is not made."""
    moved: list[Tensor]
    """ΔΘ, weight decay included."""
    drifted: list[Tensor]
    """ΔΘ without decoupled weight decay."""
    e: list[Tensor]
    """Direction of Π."""
    state: State
    seen: PointInfo
    info: StepInfo
    constants: Constants
    """Those of this step."""
    log_energy: Tensor
    """log 𝓔 of this step; at unit speed log V, because |p|² replaces V|Π|² there."""


def begin_state(zero: Tensor, rules: Rules) -> RunState:
    """Return a run before its first step.

    Args:
        zero: 0.0, float64, 0-d or ``[B]``.
        rules: Its rules.

    Returns:
        The state.
    """
    count = torch.zeros_like(zero, dtype=torch.int64)
    counts = count.new_zeros((len(COUNTERS), *zero.shape))
    auto = None if rules.auto is None else begin_auto(zero)
    no = count.bool()
    return RunState(zero - torch.inf, zero, count, zero, counts, no, no, no, count - 1, auto)


def present_constants(rules: Rules, state: RunState) -> Constants:
    """Return the constants with the current F0, ν and Δt of the run."""
    constants = rules.constants._replace(F0=rules.constants.F0 + state.shift)
    if rules.auto is None or state.auto is None:
        return constants
    return apply_auto(rules.auto, state.auto, constants)


def make_step(
    algebra: Algebra,
    point: StepInput,
    e: list[Tensor],
    state: RunState,
    rules: Rules,
    noise: Blocks | None,
    active: Tensor,
    *,
    starting: bool,
) -> StepResult[RunState]:
    """Make one step where allowed.

    Args:
        algebra: Layout of the blocks.
        point: Parameters, loss and gradient.
        e: Direction of Π.
        state: State of the run.
        rules: Its rules.
        noise: z, standard normal; needed where any ν is not 0, and while ``starting``.
        active: Where the run continues, bool.
        starting: The energy may be unset in some trials.

    Returns:
        The step. The caller adds ``moved`` and uses ``e`` where ``go`` is True; ``state`` is valid
        everywhere.
    """
    constants = present_constants(rules, state)
    seen = evaluate_point(
        algebra, point.theta, point.loss, point.grads, point.lr, point.weight_decay, constants
    )
    finite = active & point.loss.isfinite()
    live = finite & ~state.stopped
    if starting:
        assert noise is not None
        e, state = _start(algebra, point, e, state, seen, constants, noise, live)
    go = live & seen.ok & state.started
    auto = state.auto
    if rules.auto is not None and auto is not None:
        lr = torch.as_tensor(point.top_lr, dtype=torch.float64, device=go.device)
        auto = update_auto(rules.auto, auto, seen, state.log_energy, constants, lr, point.size, go)
        constants = apply_auto(rules.auto, auto, constants)
    phase = Phase(e, state.log_p, state.log_energy, state.updates)
    turning = noise if rules.chaotic else None
    drifted, after, info = advance(
        algebra, phase, seen, point.lr, turning, constants, rules.integrator
    )
    moved = drifted
    if point.decay is not None:
        moved = algebra.plus(drifted, decay(algebra, point.theta, point.decay, constants.pace))
    new = RunState(
        log_p=torch.where(go, after.log_p, state.log_p),
        log_energy=state.log_energy,
        updates=state.updates + go,
        shift=state.shift,
        counts=state.counts,
        started=state.started,
        stopped=state.stopped,
        converged=torch.where(finite, seen.converged, state.converged),
        first_bad=state.first_bad,
        auto=auto,
    )
    new = _count(new, point, seen, info, live, go, active & ~finite)
    new = _react(new, rules, constants, seen, point.loss, live)
    return StepResult(
        go=go,
        held=active & ~go,
        moved=moved,
        drifted=drifted,
        e=after.e,
        state=new,
        seen=seen,
        info=info,
        constants=constants,
        log_energy=state.log_energy,
    )


def _start(
    algebra: Algebra,
    point: StepInput,
    e: list[Tensor],
    state: RunState,
    seen: PointInfo,
    constants: Constants,
    noise: Blocks,
    live: Tensor,
) -> tuple[list[Tensor], RunState]:
    """Set energy and first momentum where V exists for the first time."""
    grads = point.grads
    if point.scales is not None:  # the gradient in the coordinates in which the run moves
        grads = algebra.times_each(grads, point.scales)
    size = algebra.norm(grads)
    fresh = live & (seen.gap > 0) & (size < math.inf) & ~state.started
    first = start(algebra, grads, noise, seen, constants)
    return algebra.where(fresh, first.e, e), state._replace(
        log_p=torch.where(fresh, first.log_p, state.log_p),
        log_energy=torch.where(fresh, first.log_energy, state.log_energy),
        started=state.started | fresh,
    )


def _count(
    state: RunState,
    point: StepInput,
    seen: PointInfo,
    info: StepInfo,
    live: Tensor,
    go: Tensor,
    bad_loss: Tensor,
) -> RunState:
    bad = ~(seen.ok | seen.below | seen.converged)
    happened = torch.stack(
        [live & seen.below, live & seen.converged, live & bad, go & info.unreachable]
    )
    counts = state.counts.clone()
    counts[: len(happened)] += happened
    first = bad_loss & (state.first_bad < 0)
    return state._replace(counts=counts, first_bad=torch.where(first, point.step, state.first_bad))


def _react(
    state: RunState,
    rules: Rules,
    constants: Constants,
    seen: PointInfo,
    loss: Tensor,
    live: Tensor,
) -> RunState:
    """Stop, lower F0 or let it follow the plateau, as the rules require."""
    if rules.stops is not None:
        state = state._replace(stopped=state.stopped | (live & seen.below & rules.stops))
    if rules.auto is not None and state.auto is not None and rules.auto.any_F0:
        auto, F0, log_ratio = learn(rules.auto, state.auto, seen, constants, live)
        log_p, log_energy = rebase(state.log_p, state.log_energy, log_ratio, constants.eta)
        shift = F0 - rules.constants.F0
        state = state._replace(auto=auto, shift=shift, log_p=log_p, log_energy=log_energy)
    if rules.shifts is not None:
        state = _lower(state, rules, constants, seen, loss, live)
    return state


def _lower(
    state: RunState,
    rules: Rules,
    constants: Constants,
    seen: PointInfo,
    loss: Tensor,
    live: Tensor,
) -> RunState:
    assert rules.shifts is not None
    crossed = seen.below | seen.converged if rules.shifts_early else seen.below
    rows = live & crossed & rules.shifts
    lower = lowered_offset(
        constants.F0, seen.gap, loss, constants.eta, constants.log_eps2, rules.shift_factor
    )
    counts = state.counts.clone()
    counts[COUNTERS.index("shifts")] += rows
    state = state._replace(
        counts=counts, shift=torch.where(rows, lower - rules.constants.F0, state.shift)
    )
    if rules.resets_energy:
        potential = constants.eta * torch.log(seen.gap + (constants.F0 - lower))
        measured = log_hamiltonian(state.log_p, potential, constants.s)
        log_energy = torch.where(rows & state.started, measured, state.log_energy)
        state = state._replace(log_energy=log_energy)
    return state
