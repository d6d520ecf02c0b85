"""F0 from the plateau that the loss is seen to reach.

On a plateau of a quadratic basin the mean of 1/(F−F0) is (1−1/η)/D with D = Fmin − F0 (the
harmonic law, exact for s = 0 under ``sync``, any n and any curvatures). So a plateau gives D, and
F0 may rise towards Fmin, which lowers the plateau in proportion to D. Everything else makes D
too small, which is the safe side: Algorithm 1's η_eff >= η, the factor of s = 1, the noise of
minibatches. Only a loss that still falls makes D too large.

A plateau is three windows of two orbits each whose means of log(F−F0) differ by less than a tenth.
F0 then rises by half of D, at most halfway to the lowest loss that was seen. What is left of D is
the room; a loss that comes nearer to F0 than half of it proves it wrong, and F0 falls to twice the
room below that loss. So F0 never stays above a loss that was seen.

When D becomes ρD, |Θ−c| shrinks by √ρ. The orbit keeps its number of steps when 𝓔 is multiplied by
ρ^{η−1} and |Π| by ρ^{−1/2} (exact for s = 0): Δt need not be tuned again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ecd_tune.optim.dynamics import PointInfo

__all__ = ["Plateau", "begin_plateau", "watch"]

_RADIANS = 2 * math.tau
"""Length of a window: two orbits."""
_LEAST = 16
"""Steps of a window at least."""
_WINDOWS = 3
_STILL = 0.1
"""Windows of a plateau differ by less, in log(F−F0)."""
_LIFT = 0.5
"""Part of D by which F0 rises."""


class Plateau(NamedTuple):
    """What is known of the losses; float64, 0-d or ``[B]``, the windows with a first dimension."""

    turned: Tensor
    """Radians of the orbit in the present window."""
    steps: Tensor
    """Its steps."""
    log_gap: Tensor
    """Its sum of log(F−F0)."""
    inverse: Tensor
    """Its sum of 1/(F−F0)."""
    levels: Tensor
    """Means of log(F−F0) of the last windows since F0 moved; NaN where there is none."""
    inverses: Tensor
    """Means of 1/(F−F0) of them."""
    lowest: Tensor
    """Lowest loss so far."""
    room: Tensor
    """The estimate of D since F0 moved; 0 before."""


def begin_plateau(like: Tensor) -> Plateau:
    """Return that nothing has been seen, with the shape and device of ``like``."""
    nothing = torch.zeros_like(like)
    none = torch.full((_WINDOWS, *like.shape), math.nan, dtype=like.dtype, device=like.device)
    return Plateau(nothing, nothing, nothing, nothing, none, none, nothing + math.inf, nothing)


def watch(
    plateau: Plateau, seen: PointInfo, F0: Tensor, eta: Tensor, alpha: Tensor, live: Tensor
) -> tuple[Plateau, Tensor, Tensor]:
    """Process one loss, and move F0 if needed.

    Args:
        plateau: What is known.
        seen: Quantities at the present point, made with ``F0``.
        F0: Present offset.
        eta: Exponent η; with 1 a plateau contains no information and F0 never rises.
        alpha: Orbit step, radians.
        live: Where the trajectory runs.

    Returns:
        What is known now, the new F0, and log ρ of the change of D, 0 where F0 stays.
    """
    live = live & seen.gap.isfinite()
    loss, room = seen.gap + F0, plateau.room
    lowest = torch.where(live, torch.minimum(plateau.lowest, loss), plateau.lowest)
    plateau, full = _close(_add(plateau, seen, alpha, live & seen.ok))
    depth = torch.minimum((1 - 1 / eta) / plateau.inverses.mean(0), lowest - F0)
    near = live & (seen.below | (seen.gap < 0.5 * room))
    rises = full & _still(plateau) & (depth > 0) & ~near
    wider = _wider(room, seen.gap, loss)
    left = (1 - _LIFT) * depth
    offset = torch.where(near, loss - wider, torch.where(rises, F0 + _LIFT * depth, F0))
    ratio = torch.where(near & (room > 0), wider / room, torch.where(rises, 1 - _LIFT, 1.0))
    room = torch.where(near, wider, torch.where(rises, left, room))
    plateau = _forget(plateau, near | rises)
    return plateau._replace(lowest=lowest, room=room), offset, torch.log(ratio)


def _add(plateau: Plateau, seen: PointInfo, alpha: Tensor, counts: Tensor) -> Plateau:
    """Add one step to the present window."""
    return plateau._replace(
        turned=plateau.turned + torch.where(counts, alpha, 0.0),
        steps=plateau.steps + counts,
        log_gap=plateau.log_gap + torch.where(counts, seen.log_gap, 0.0),
        inverse=plateau.inverse + torch.where(counts, 1 / seen.gap, 0.0),
    )


def _close(plateau: Plateau) -> tuple[Plateau, Tensor]:
    """Begin a new window where the present one is full; say where."""
    full = (plateau.turned >= _RADIANS) & (plateau.steps >= _LEAST)
    steps = plateau.steps.clamp(min=1.0)
    emptied = {
        name: torch.where(full, 0.0, getattr(plateau, name))
        for name in ("turned", "steps", "log_gap", "inverse")
    }
    levels = torch.cat([plateau.levels[1:], (plateau.log_gap / steps)[None]])
    inverses = torch.cat([plateau.inverses[1:], (plateau.inverse / steps)[None]])
    closed = plateau._replace(
        levels=torch.where(full, levels, plateau.levels),
        inverses=torch.where(full, inverses, plateau.inverses),
        **emptied,
    )
    return closed, full


def _still(plateau: Plateau) -> Tensor:
    """Return where the last windows have equal levels; False while one is missing."""
    return plateau.levels.amax(0) - plateau.levels.amin(0) < _STILL


def _wider(room: Tensor, gap: Tensor, loss: Tensor) -> Tensor:
    """Return a room for a loss that came too near: twice as wide, or four times the depth."""
    rounding = 16 * torch.finfo(torch.float64).eps * loss.abs()
    least = rounding.clamp(min=torch.finfo(torch.float64).tiny)
    return torch.maximum(torch.maximum(2 * room, -4 * gap), least)


def _forget(plateau: Plateau, moved: Tensor) -> Plateau:
    """Restart the averages where F0 has moved; keep the lowest loss and the estimate of D."""
    fresh = begin_plateau(plateau.turned)
    chosen = (torch.where(moved, new, old) for new, old in zip(fresh, plateau, strict=True))
    return Plateau(*chosen)._replace(lowest=plateau.lowest, room=plateau.room)
