"""The checks on studies that come with ecd_tune, by id."""

from __future__ import annotations

from ecd_tune.analysis.checks import (
    conservation,
    direction,
    edges,
    harmonic,
    optimum,
    reach,
    step_size,
    steps,
)
from ecd_tune.analysis.checks.model import Check

__all__ = ["BUILT_IN"]

_MODULES = (direction, harmonic, optimum, steps, step_size, conservation, reach, edges)

BUILT_IN: dict[str, Check] = {check.id: check for module in _MODULES for check in module.CHECKS}
