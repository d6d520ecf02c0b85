"""The paper's formulas for the random turns and for ν*, against one another and the exact law."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from scipy import stats

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.lab.claims.findings import close_finding
from ecd_tune.theory import Basin, bounce_angle, bounce_cosine

__all__ = [
    "check_large_turn",
    "check_noise_moment",
    "check_noise_norm",
    "check_nu_sensitivity",
    "check_nu_star_algebra",
    "check_small_turn",
]

_MANY = Basin(n=1e8, eta=2.0, F_min=1.0, F0=0.0, curvature=1.0, F_init=4.0)
"""A basin to vary, with n ≫ 1; s = 1 and δE = 0, the paper's defaults."""


def check_noise_moment() -> list[Finding]:
    """Compare E[z_i²] of a standard normal z with the printed n, at n = 10."""
    return [close_finding("n=10", "E[z_i²]", 10.0, float(stats.norm().moment(2)), 1e-9)]


def check_noise_norm() -> list[Finding]:
    """Compare E|z|² with n."""
    return [
        close_finding(f"n={n}", "E|z|²", n, float(stats.chi2(n).mean()), 1e-9) for n in (10, 1000)
    ]


def check_small_turn(angle: Callable[[float, float], float] = bounce_angle) -> list[Finding]:
    """Compare the mean angle with ν√n where that is small.

    Args:
        angle: Of n and ν.

    Returns:
        One finding per case.
    """
    return [
        close_finding(
            f"n={n:g} ν√n={root:g}", "angle/ν√n", 1.0, float(angle(n, root / n**0.5)) / root, 0.01
        )
        for n in (100.0, 1e6)
        for root in (0.01, 0.1)
    ]


def check_large_turn(cosine: Callable[[float, float], float] = bounce_cosine) -> list[Finding]:
    """Compare the mean cosine with 0 where ν√n is large.

    Args:
        cosine: Of n and ν.

    Returns:
        One finding per case.
    """
    return [
        close_finding(
            f"n={n:g} ν√n={root:g}", "E[cos α]", 0.0, float(cosine(n, root / n**0.5)), 0.02
        )
        for n in (100.0, 1e6)
        for root in (100.0, 1000.0)
    ]


# ----------------------------------------------------------------------------- ν*


def check_nu_star_algebra() -> list[Finding]:
    """Compare (26) and (27) with (24)–(25) into which the printed (7) and (8) are put, n ≫ 1.

    Returns:
        Their ratios.
    """
    above = replace(_MANY, F_init=1e4)
    one = replace(_MANY, eta=1.0, F0=0.5, F_init=1e15)
    found = []
    for basin, variant, name in ((above, "paper_eq26", "(26)"), (one, "paper_eq27", "(27)")):
        ratio = float(basin.nu_star(1e-3, variant) / basin.nu_star(1e-3, "paper"))
        case = "η=2 F_init=1e4" if basin is above else "η=1 F0=0.5 F_init=1e15"
        found.append(close_finding(case, f"{name} over (24)–(25)", 1.0, ratio, 1e-3))
    return found


def check_nu_sensitivity(variant: str, share: float) -> list[Finding]:
    """Compare d log ν*/dη with a multiple of ½ log(Fmin/F_init), for small Fmin/F_init.

    Args:
        variant: Of :meth:`ecd_tune.theory.Basin.nu_star`.
        share: The multiple.

    Returns:
        One finding a ratio Fmin/F_init, within a tenth.
    """
    found = []
    for start in (1e4, 1e6):
        basin = replace(_MANY, F_init=start)
        low, high = (
            math.log(float(replace(basin, eta=eta).nu_star(1e-3, variant))) for eta in (2.0, 6.0)
        )
        predicted = -0.5 * share * math.log(start)
        case = f"Fmin/F_init={1 / start:g} η=2…6"
        statistic = "d log ν*/dη"
        found.append(
            close_finding(case, statistic, predicted, (high - low) / 4, 0.1 * abs(predicted))
        )
    return found
