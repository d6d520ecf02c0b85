"""The mathematics of one step, written once, without branches on values.

The momentum is a unit direction ``e`` (blocks) and ``log_p = log|Π|`` (float64, -inf at rest);
energy and potential are logarithms too. V, 𝓔 and Π² are never formed, so nothing overflows
however small or large the loss is. Masks are tensors and nothing is read back to the host.

One step is a sequence of phases, each a function here::

    algorithm1   rescale, kick(1), drift, turn             the paper's Algorithm 1
    sync         kick(½), rescale, turn, kick(½), drift     Π and Θ at equal times, order 2

For one trajectory scalars are 0-d tensors; for a batch they have shape ``[B]`` and every
formula is the same (see :mod:`ecd_tune.optim.params.blocks`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ecd_tune.optim.params.blocks import Algebra, Blocks, Factors

__all__ = [
    "Constants",
    "Phase",
    "StepInfo",
    "PointInfo",
    "advance",
    "choose",
    "decay",
    "downhill",
    "drift_factor",
    "kick",
    "log_expm1",
    "log_hamiltonian",
    "log_norm_at",
    "lowered_offset",
    "rebase",
    "rescale",
    "start",
    "evaluate_point",
    "turn",
    "unit",
]

_TINY = 1e-37
"""Below this a norm counts as zero; its reciprocal is still finite in float32."""
_LOG_LIMIT = 700.0
"""exp of it and of its negative are still normal float64 numbers."""


class Constants(NamedTuple):
    """Constants of a run; float64 or bool tensors, 0-d or ``[B]``."""

    eta: Tensor
    nu: Tensor
    s: Tensor
    bounded: Tensor
    """s == 1."""
    F0: Tensor
    conserve: Tensor
    log_eps1: Tensor
    log_eps2: Tensor
    log_delta: Tensor
    """log δE; -inf for δE = 0."""
    pace: Tensor | None = None
    """Factor of Δt of all blocks; None is 1."""


class Phase(NamedTuple):
    """State of a trajectory in phase space, without Θ."""

    e: list[Tensor]
    """Direction of Π; norm 1 over all blocks, or 0 when Π has none."""
    log_p: Tensor
    log_energy: Tensor
    t: Tensor
    """Steps made, int64; a held step does not count."""


class PointInfo(NamedTuple):
    """Quantities from one evaluation of loss and gradient at the present Θ."""

    gap: Tensor
    """F + ½ wd Θ² − F0."""
    log_gap: Tensor
    log_potential: Tensor
    force: list[Tensor]
    """lr · (∇F + wd Θ), block by block."""
    force_norm: Tensor
    below: Tensor
    """gap ≤ 0: V is undefined."""
    converged: Tensor
    """0 < V < ε2."""
    ok: Tensor
    """A step can be made: gap > 0, V ≥ ε2, loss and gradient finite."""


class StepInfo(NamedTuple):
    """Events and scalars of one step; at unit speed p replaces Π."""

    rescaled: Tensor
    unreachable: Tensor
    """The rescale was skipped because V exceeds 𝓔, so no Π has the right energy."""
    log_p: Tensor
    """log|Π| where it is read for the energy: after the rescale."""
    log_p_before: Tensor
    """The same before the rescale."""
    log_p_after: Tensor
    """The same after the kick that precedes the drift."""
    speed: Tensor
    """|ΔΘ|/Δt where all blocks have the same Δt; at most 1 for s = 1, |p| at unit speed."""
    turned: Tensor | None
    """|Π̂ + νz| of the turn, NaN where Π is 0; None without turns."""


def choose(algebra: Algebra, mask: Tensor, new: Phase, old: Phase) -> Phase:
    """Return ``new`` where ``mask`` is True, ``old`` elsewhere; unselected values may be NaN."""
    return Phase(
        algebra.where(mask, new.e, old.e),
        torch.where(mask, new.log_p, old.log_p),
        torch.where(mask, new.log_energy, old.log_energy),
        torch.where(mask, new.t, old.t),
    )


def log_expm1(x: Tensor) -> Tensor:
    """Return log(exp(x) − 1) without overflow; -inf at 0, NaN below."""
    return x + torch.log(-torch.expm1(-x))


def log_hamiltonian(log_p: Tensor, log_potential: Tensor, s: Tensor) -> Tensor:
    """Return log(V (Π² + s)), the logarithm of the energy."""
    return torch.logaddexp(2 * log_p, torch.log(s)) + log_potential


def log_norm_at(excess: Tensor, constants: Constants) -> Tensor:
    """Return the log|Π| that the energy requires, Π² = 𝓔/V − s (§3.3).

    Args:
        excess: log(𝓔/V).
        constants: s is used.

    Returns:
        Its logarithm; NaN where V exceeds 𝓔 and s is 1.
    """
    return 0.5 * torch.where(constants.bounded, log_expm1(excess), excess)


def evaluate_point(
    algebra: Algebra,
    theta: Blocks,
    loss: Tensor,
    grads: Blocks,
    lr: Factors,
    weight_decay: Factors | None,
    constants: Constants,
) -> PointInfo:
    """Measure gap, potential and force at the present parameters (eq. 3 and 15).

    Args:
        algebra: Layout of the blocks.
        theta: Parameters.
        loss: F, float64, 0-d or ``[B]``.
        grads: ∇F, one block per parameter block.
        lr: Step size Δt of each block.
        weight_decay: wd of each block, or None when it is 0 everywhere.
        constants: η, F0 and ε2 are used.

    Returns:
        The quantities; their logarithms are finite wherever ``ok``.
    """
    gap = loss - constants.F0
    if weight_decay is not None:
        pull = algebra.times_each(theta, weight_decay)
        grads = algebra.plus(grads, pull)
        roots = algebra.times_each(theta, [_root(wd) for wd in weight_decay])
        gap = gap + 0.5 * algebra.norm(roots).square()
    force = algebra.times_each(grads, lr)
    force_norm = algebra.norm(force)
    log_gap = torch.log(gap)
    log_potential = constants.eta * log_gap
    above = (gap > 0) & (gap < math.inf)
    visible = log_potential >= constants.log_eps2
    return PointInfo(
        gap=gap,
        log_gap=log_gap,
        log_potential=log_potential,
        force=force,
        force_norm=force_norm,
        below=gap <= 0,
        converged=above & ~visible,
        ok=above & visible & (force_norm < math.inf),
    )


def _root(weight_decay: float | Tensor) -> float | Tensor:
    return weight_decay**0.5


def start(
    algebra: Algebra, grads: Blocks, noise: Blocks, seen: PointInfo, constants: Constants
) -> Phase:
    """Set the energy and the first momentum: |Π|² = δE along −∇F (Algorithm 1).

    Args:
        algebra: Layout of the blocks.
        grads: Plain ∇F, without weight decay, in the dtype of the momentum.
        noise: Normal draws; their direction is used if the gradient is zero.
        seen: Quantities at the same point, with gap > 0.
        constants: s and δE are used.

    Returns:
        The phase at t = 0.
    """
    e = downhill(algebra, grads, noise)
    log_sum = torch.logaddexp(constants.log_delta, torch.log(constants.s))
    t = torch.zeros_like(seen.below, dtype=torch.int64)
    return Phase(e, 0.5 * constants.log_delta, seen.log_potential + log_sum, t)


def downhill(algebra: Algebra, grads: Blocks, noise: Blocks) -> list[Tensor]:
    """Return the direction of −∇F, or of ``noise`` where the gradient is zero."""
    size = algebra.norm(grads)
    anywhere = unit(algebra, noise, algebra.norm(noise))
    return algebra.where(size > _TINY, unit(algebra, grads, -size), anywhere)


def unit(algebra: Algebra, x: Blocks, size: Tensor) -> list[Tensor]:
    """Return ``x / size``, or zero-like blocks where ``|size|`` is below ``1e-37``."""
    safe = torch.where(size.abs() > _TINY, size, math.inf)
    return algebra.times(x, safe.reciprocal())


def rescale(
    log_p: Tensor, target: Tensor, allowed: Tensor, log_eps1: Tensor
) -> tuple[Tensor, Tensor]:
    """Set Π to the norm that the energy requires (§3.3); a Π of norm 0 is unchanged.

    Args:
        log_p: log|Π|.
        target: Logarithm of the right norm.
        allowed: Whether to rescale at all; False where there is no right norm.
        log_eps1: Rescale only if |Π² − π_c²| exceeds this, compared in logarithms.

    Returns:
        The new log|Π|, and a mask of where it was changed.
    """
    larger = torch.maximum(log_p, target)
    log_difference = 2 * larger + torch.log(-torch.expm1(-2 * (log_p - target).abs()))
    changed = allowed & (log_p > -math.inf) & (log_difference > log_eps1)
    return torch.where(changed, target, log_p), changed


def kick(
    algebra: Algebra,
    e: Blocks,
    log_p: Tensor,
    force: Blocks,
    force_norm: Tensor,
    log_strength: Tensor,
) -> tuple[list[Tensor], Tensor]:
    """Change the momentum to Π − exp(log_strength)·force.

    Both terms are divided by the larger one first, so that neither overflows.

    Args:
        algebra: Layout of the blocks.
        e: Direction of Π.
        log_p: log|Π|; -inf allowed.
        force: Blocks; zero allowed.
        force_norm: Norm of ``force``.
        log_strength: Logarithm of the factor; -inf for no kick.

    Returns:
        New direction and new log|Π|.
    """
    log_kick = log_strength + torch.log(force_norm)
    scale = torch.maximum(log_p, log_kick)
    scale = torch.where(scale > -math.inf, scale, 0.0)
    keep = torch.exp(log_p - scale)
    push = torch.exp(log_kick - scale) / force_norm.clamp(min=_TINY)
    momentum = algebra.combine(e, keep, force, -push)
    size = algebra.norm(momentum)
    return unit(algebra, momentum, size), scale + torch.log(size)


def turn(
    algebra: Algebra, e: Blocks, log_p: Tensor, noise: Blocks, nu: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Turn the momentum by a random angle, keeping its norm (eq. 14).

    Args:
        algebra: Layout of the blocks.
        e: Direction of Π.
        log_p: log|Π|; a momentum of norm 0 is unchanged.
        noise: z, standard normal.
        nu: Chaos strength ν.

    Returns:
        New direction (e + ν z)/|e + ν z|, and |e + ν z|, NaN where the norm is 0.
    """
    moves = log_p > -math.inf
    turned = algebra.combine(e, None, noise, torch.where(moves, nu, 0.0))
    size = algebra.norm(turned)
    return unit(algebra, turned, size), torch.where(moves, size, math.nan)


def drift_factor(log_p: Tensor, s: Tensor) -> Tensor:
    """Return 2|Π|/(Π² + s), the speed |Θ̇| of eq. 11; 0 at rest."""
    tame = log_p.clamp(-_LOG_LIMIT, _LOG_LIMIT)
    speed = 2.0 / (torch.exp(tame) + s * torch.exp(-tame))
    return torch.where(log_p > -math.inf, speed, 0.0)


def advance(
    algebra: Algebra,
    phase: Phase,
    seen: PointInfo,
    lr: Factors,
    noise: Blocks | None,
    constants: Constants,
    integrator: str,
) -> tuple[list[Tensor], Phase, StepInfo]:
    """Make one step of ECDSep from an evaluated point.

    Args:
        algebra: Layout of the blocks.
        phase: Present phase.
        seen: Quantities at the present parameters; the result is meaningful where it is ``ok``.
        lr: Step size Δt of each block, as given to :func:`evaluate_point`.
        noise: z for the turn, or None when ν is 0 everywhere.
        constants: Constants of the trajectory.
        integrator: ``"algorithm1"`` or ``"sync"``.

    Returns:
        The update of the parameters, the new phase, and the events of the step.
    """
    e, log_p = phase.e, phase.log_p
    strength = torch.log(constants.eta) - seen.log_gap
    if constants.pace is not None:
        strength = strength + torch.log(constants.pace)
    excess = phase.log_energy - seen.log_potential
    target = log_norm_at(excess, constants)
    sync = integrator == "sync"
    if sync:
        strength = strength - math.log(2.0)
        closing = torch.where(phase.t > 0, strength, -math.inf)
        e, log_p = kick(algebra, e, log_p, seen.force, seen.force_norm, closing)
    before, turned = log_p, None
    allowed = constants.conserve & (target > -math.inf)
    log_p, rescaled = rescale(log_p, target, allowed, constants.log_eps1)
    above = constants.conserve & constants.bounded & (excess < 0)
    read = log_p
    if sync and noise is not None:
        e, turned = turn(algebra, e, log_p, noise, constants.nu)
    e, log_p = kick(algebra, e, log_p, seen.force, seen.force_norm, strength)
    after, speed = log_p, drift_factor(log_p, constants.s)
    length = speed if constants.pace is None else speed * constants.pace
    moved = algebra.times(algebra.times_each(e, lr), length)
    if not sync and noise is not None:
        e, turned = turn(algebra, e, log_p, noise, constants.nu)
    info = StepInfo(rescaled, above, read, before, after, speed, turned)
    return moved, Phase(list(e), log_p, phase.log_energy, phase.t + 1), info


def rebase(
    log_p: Tensor, log_energy: Tensor, log_ratio: Tensor, eta: Tensor
) -> tuple[Tensor, Tensor]:
    """Transform momentum and energy to a basin whose D = Fmin − F0 is ρ times as large.

    Around the minimum, F − F0 → ρ(F − F0), Θ − c → √ρ(Θ − c), Π → Π/√ρ and 𝓔 → ρ^{η−1} 𝓔 is a
    symmetry of H = VΠ² (s = 0, quadratic F) that does not change the time.

    Args:
        log_p: log|Π|.
        log_energy: log 𝓔.
        log_ratio: log ρ; 0 changes nothing.
        eta: Exponent η.

    Returns:
        The new log|Π| and log 𝓔.
    """
    return log_p - 0.5 * log_ratio, log_energy + (eta - 1) * log_ratio


def decay(
    algebra: Algebra, theta: Blocks, rates: Sequence[float | Tensor], pace: Tensor | None = None
) -> list[Tensor]:
    """Return what decoupled weight decay adds to the parameters, expm1(−Δt wd) Θ (§3.4).

    To first order this is the paper's −Δt wd Θ_t, but it never overshoots zero. It changes V and
    not Π: the energy is conserved if the next step rescales.

    Args:
        algebra: Layout of the blocks.
        theta: Parameters before the step.
        rates: Δt wd of each block, 0-d or ``[B]``.
        pace: As in :class:`Constants`.

    Returns:
        One value per block.
    """
    amounts = []
    for block, rate in zip(theta, rates, strict=True):
        rate = torch.as_tensor(rate, dtype=torch.float64, device=block.device)
        factor = torch.expm1(-rate if pace is None else -rate * pace.to(block.device))
        amounts.append(block * algebra.spread(factor, block))
    return amounts


def lowered_offset(
    offset: Tensor, gap: Tensor, loss: Tensor, eta: Tensor, log_eps2: Tensor, factor: float
) -> Tensor:
    """Lower F0 by ``factor`` times the depth to which the loss has fallen below it.

    The depth is |gap| with the present (shifted) F0, at least ε2^{1/η} and at least the
    rounding error of the loss, so that V ≥ ε2 at this point afterwards.

    Args:
        offset: Present F0.
        gap: F + ½ wd Θ² − F0 with it, at most ε2^{1/η}.
        loss: F, to find its rounding error.
        eta: Exponent η.
        log_eps2: log ε2.
        factor: > 1; 5 in the paper.

    Returns:
        The new F0.
    """
    rounding = torch.finfo(torch.float64).eps * torch.maximum(offset.abs(), loss.abs())
    least = torch.exp(log_eps2 / eta).clamp(min=torch.finfo(torch.float64).tiny)
    return offset - factor * torch.maximum(gap.abs(), torch.maximum(least, rounding))
