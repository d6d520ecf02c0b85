"""The learning rate schedule of a run, as a factor of the study's rate."""

from __future__ import annotations

import math
from collections.abc import Callable

from ecd_tune.spec import Schedule

__all__ = ["lr_factor", "make_lr_factor"]


def make_lr_factor(
    schedule: Schedule, steps: int, steps_per_epoch: int
) -> Callable[[int], float] | None:
    """Return the factor of ``lr`` as a function of the step; None where it is always 1.

    Args:
        schedule: As the study file has it.
        steps: Steps of the whole run.
        steps_per_epoch: Steps of one epoch.

    Returns:
        The function, or None.
    """
    if schedule.name == "constant" and schedule.warmup == 0:
        return None
    return lambda step: lr_factor(schedule, step, steps, steps_per_epoch)


def lr_factor(schedule: Schedule, step: int, steps: int, steps_per_epoch: int) -> float:
    """Return the factor of ``lr`` for one step.

    A pure function of the step, so that a run that is continued needs no state for it.

    Args:
        schedule: As the study file has it.
        step: Number of the step, from 0.
        steps: Steps of the whole run; a linear schedule would reach ``final`` at this one, so
            that with ``final = 0`` the last step still moves.
        steps_per_epoch: Steps of one epoch, for ``step``.

    Returns:
        The factor, in [0, 1].
    """
    rising = schedule.warmup * steps
    if step < rising:
        # The first step has a share of the rise, not 0: ECDSep and SGD would not move.
        return (step + 1) / (math.floor(rising) + 1)
    done = (step - rising) / (steps - rising)
    match schedule.name:
        case "linear":
            return 1.0 - (1.0 - schedule.final) * done
        case "cosine":
            return schedule.final + (1.0 - schedule.final) * 0.5 * (1.0 + math.cos(math.pi * done))
        case "step":
            return schedule.factor ** (step // (schedule.every * steps_per_epoch))
        case _:
            return 1.0
