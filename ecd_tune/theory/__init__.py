"""Predictions of the theory: turns of the momentum, the stationary law, speed, ν* and plateau.

Pure functions of numbers, which broadcast over arrays. Where the paper's formula differs from the
correct one, both exist and the paper's is called ``paper_*``.
"""

from ecd_tune.theory._guards import Array
from ecd_tune.theory.basin import Basin
from ecd_tune.theory.heuristics import LR_DECADES, suggest_lr
from ecd_tune.theory.region_law import RegionLaw
from ecd_tune.theory.rotation import (
    bounce_angle,
    bounce_cosine,
    bounce_cosine_leading,
    bounce_cosine_second_order,
    effective_eta,
    effective_eta_leading,
    measure_exponent,
    nu_for_bounce_angle,
    paper_bounce_angle,
    unit_speed_eta,
)

__all__ = [
    "LR_DECADES",
    "Array",
    "Basin",
    "RegionLaw",
    "bounce_angle",
    "bounce_cosine",
    "bounce_cosine_leading",
    "bounce_cosine_second_order",
    "effective_eta",
    "effective_eta_leading",
    "measure_exponent",
    "nu_for_bounce_angle",
    "paper_bounce_angle",
    "suggest_lr",
    "unit_speed_eta",
]
