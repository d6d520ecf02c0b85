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
    virial,
)
from ecd_tune.analysis.checks.model import Check

__all__ = ["BUILT_IN"]

_MODULES = (rotation, energy, law, region, mode, bounds, nu_star, plateau, scaling, virial)

BUILT_IN: dict[str, Check] = {
    check.id: check
    for check in sorted(
        (check for module in _MODULES for check in module.CHECKS), key=lambda check: check.id
    )
}
