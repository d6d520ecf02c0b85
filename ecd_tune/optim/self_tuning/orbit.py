"""ν and Δt from the orbit that a run is seen to make (A.1).

At the mode |Θ*| of a quadratic basin, Algorithm 1's chaos and step are set by one number, the
orbit step α* = Δt v*/|Θ*|. Neither |Θ*| nor the basin is known to a run, but the virial relation
E[(Θ−c)·G] = 2 (s = 0 or w ≪ 1; any loss, any centre c) gives |Θ*| = 2/|G|, with which ::

    α = Δt · ½ |G| v        G = η∇F/(F−F0), v = 2|Π|/(|Π|²+s)

needs only what a step computes anyway. On an isotropic basin it is α*(1 − 1/n) at the mode. On an
anisotropic one the stiff directions weigh more; where F0 = Fmin it is up to η times too large;
the noise of minibatches makes |G| and so α larger. For s = 1 near the boundary, where a run starts
from rest, v is taken as the 1 to which it will rise. |Π| is that of the energy surface: without
``conserve_energy``, what the energy drifts by is missing.

The rate α/Δt is averaged in the logarithm over one orbit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ecd_tune.optim.dynamics import Constants, PointInfo, drift_factor, log_norm_at

__all__ = ["Orbit", "begin_orbit", "follow", "orbit_nu", "orbit_step"]

_MOST = math.pi
"""No α counts for more: half an orbit in a step."""


class Orbit(NamedTuple):
    """What is known of the orbit; float64, 0-d or ``[B]``."""

    log_rate: Tensor
    """Mean of log(α/Δt)."""
    steps: Tensor
    """Steps that were seen."""


def begin_orbit(like: Tensor) -> Orbit:
    """Return that nothing has been seen, with the shape and device of ``like``."""
    return Orbit(torch.zeros_like(like), torch.zeros_like(like))


def follow(
    orbit: Orbit,
    seen: PointInfo,
    log_energy: Tensor,
    constants: Constants,
    lr: Tensor,
    pace: Tensor,
    allowed: Tensor,
) -> Orbit:
    """Update the average by one step.

    Args:
        orbit: The average so far.
        seen: Quantities at the present point.
        log_energy: log 𝓔; Π is taken on its surface, since a Π that a long step has just kicked is
            as large as that step, whatever the orbit is.
        constants: η and s are used.
        lr: Step size in ``seen.force``, the largest of all groups; 0 counts nothing.
        pace: Factor of it so far.
        allowed: Where the step counts; it does not where V exceeds 𝓔.

    Returns:
        The average with this step, of weight α/2π, at least 1/(number of steps).
    """
    log_p = log_norm_at(log_energy - seen.log_potential, constants)
    rising = torch.where(constants.bounded, log_p.nan_to_num(nan=0.0).clamp(min=0.0), log_p)
    force = torch.log(constants.eta) - seen.log_gap + torch.log(seen.force_norm) - torch.log(lr)
    now = force + torch.log(0.5 * drift_factor(rising, constants.s))
    # V above 𝓔: Π is not on the energy surface, and nothing can be said of the orbit.
    known = allowed & now.isfinite() & (seen.log_potential <= log_energy)
    steps = orbit.steps + known
    alpha = torch.exp(now) * lr * pace
    weight = torch.maximum(1 / steps.clamp(min=1.0), (alpha / math.tau).clamp(max=1.0))
    mean = orbit.log_rate + weight * (now - orbit.log_rate)
    return Orbit(torch.where(known, mean, orbit.log_rate), steps)


def orbit_step(orbit: Orbit, lr: Tensor) -> Tensor:
    """Return α of steps of size ``lr``, at most π; 0 before the first step.

    Args:
        orbit: The average.
        lr: Step size Δt.

    Returns:
        Radians.
    """
    alpha = (torch.exp(orbit.log_rate) * lr).clamp(max=_MOST)
    return torch.where(orbit.steps > 0, alpha, 0.0)


def orbit_nu(alpha: Tensor, n: int) -> Tensor:
    """Return ν* = √(expm1(2α)/n): momentum lasts for one radian of the orbit.

    :meth:`ecd_tune.theory.Basin.nu_star` with the α that was seen.

    Args:
        alpha: Orbit step, radians.
        n: Number of parameters that turn.

    Returns:
        ν.
    """
    return torch.sqrt(torch.expm1(2 * alpha) / n)
