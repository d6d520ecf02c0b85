"""The checks that come with ecd_tune, by id."""

from __future__ import annotations

from ecd_tune.analysis.checks import (
    bounds,
    energy,
    law,
    mode,
    nu_star,
    plateau,
    region,
    rotation,
    scaling,
    unit_speed,
    virial,
)
from ecd_tune.analysis.checks.model import Check
from ecd_tune.analysis.checks.study import (
    conservation,
    direction,
    edges,
    harmonic,
    optimum,
    reach,
    step_size,
    steps,
)

__all__ = ["BUILT_IN"]

_SYSTEMS = (
    rotation, energy, law, region, mode, bounds, nu_star, plateau, scaling, virial, unit_speed
)  # fmt: skip
_STUDY = (direction, harmonic, optimum, steps, step_size, conservation, reach, edges)

BUILT_IN: dict[str, Check] = {
    check.id: check
    for check in sorted(
        (check for module in (*_SYSTEMS, *_STUDY) for check in module.CHECKS),
        key=lambda check: check.id,
    )
}
