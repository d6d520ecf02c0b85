"""Checks of exact systems, by id: C01 to C23, and the negative controls N01 to N15."""

from ecd_tune.analysis.checks.model import Check
from ecd_tune.lab.systems import (
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

__all__ = ["BUILT_IN"]

_MODULES = (
    rotation, energy, law, region, mode, bounds, nu_star, plateau, scaling, virial, unit_speed
)  # fmt: skip

BUILT_IN: dict[str, Check] = {check.id: check for module in _MODULES for check in module.CHECKS}
