"""The paper's formulas put against one another, or against what they are derived from.

No trajectory is run here: what runs trajectories are the checks of exact systems. Functions take
the tested formula as an argument, so that a wrong one can be substituted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scipy import integrate
from scipy.special import gammaln

from ecd_tune.analysis.checks.model import Finding, Verdict
from ecd_tune.lab.claims.findings import close_finding
from ecd_tune.theory import Basin

__all__ = [
    "check_concentration",
    "check_concentration_above_one",
    "check_growth_with_n",
    "check_powers_of_depth",
    "check_prefactor",
    "check_region_far_below",
    "check_speed_in_steps",
    "check_speed_kept",
    "check_start_energy",
    "paper_log_measure",
]

_N, _F_INIT = 100, 4.0
_ANY = Basin(_N, eta=2.0, F_min=1.0, F0=0.0, curvature=1.0, F_init=_F_INIT)
"""A basin to vary; s = 1 and δE = 0, the paper's defaults."""
_FREE = replace(_ANY, s=0, delta_energy=1.0)


def _exponent(basin: Basin, of: str, by: str, low: float, high: float) -> float:
    """Return the exponent of a property of a basin in one of its numbers, between two values."""
    ends: list[dict[str, Any]] = [{by: low}, {by: high}]
    start, end = (float(getattr(replace(basin, **changed), of)) for changed in ends)
    return math.log(end / start) / math.log(high / low)


# ----------------------------------------------------------------------------- measure


def paper_log_measure(n: int, energy: float, potential: float) -> float:
    """Return the logarithm of (4): log of E^((n−2)/2) π^(n/2)/Γ(n/2) V^(−n/2)."""
    constant = 0.5 * n * math.log(math.pi) - float(gammaln(0.5 * n))
    return 0.5 * (n - 2) * math.log(energy) + constant - 0.5 * n * math.log(potential)


def check_prefactor(
    log_measure: Callable[[int, float, float], float] = paper_log_measure,
) -> list[Finding]:
    """Compare (4) with ∫dΠ δ(VΠ² − E), the derivative in E of the volume of the ball VΠ² < E.

    Args:
        log_measure: log μ of n, E and V.

    Returns:
        One finding per case.
    """
    found = []
    for n, energy, potential in ((1, 0.7, 2.0), (2, 3.0, 0.5), (10, 0.3, 1.7), (100, 2.0, 3.0)):
        half_step = 1e-4 * energy / n
        upper, lower = (
            0.5 * n * math.log(math.pi * end / potential) - float(gammaln(0.5 * n + 1))
            for end in (energy + half_step, energy - half_step)
        )
        log_derivative = lower + math.log(math.expm1(upper - lower) / (2 * half_step))
        ratio = math.exp(log_measure(n, energy, potential) - log_derivative)
        case = f"n={n} E={energy:g} V={potential:g}"
        found.append(close_finding(case, "μ/(d volume/dE)", 1.0, ratio, 1e-6))
    return found


def check_concentration(etas: tuple[float, ...]) -> list[Finding]:
    """Test whether the mass of (6) is near the radius of (7), s = 0.

    Args:
        etas: Values of η.

    Returns:
        One finding per η: the mass within 1000 |Θ*| over that within 10 |Θ*|, which is 1 for a
        measure that is concentrated there.
    """
    found = []
    for eta in etas:
        ratio = _mass_within(1000.0, eta) / _mass_within(10.0, eta)
        case = f"n={_N} η={eta:g} s=0"
        found.append(close_finding(case, "mass in 1000|Θ*| over 10|Θ*|", 1.0, ratio, 0.01))
    return found


def _mass_within(multiple: float, eta: float) -> float:
    """Integrate r^{n−1} (F−F0)^{−ηn/2} over log r, relative to its value at |Θ*|."""
    radius = math.sqrt(float(replace(_FREE, eta=eta).mode_radius_squared))

    def density(log_r: float) -> float:
        squared = (radius * math.exp(log_r)) ** 2
        fall = 0.5 * eta * _N * math.log((1 + squared) / (1 + radius**2))
        return math.exp(_N * log_r - fall)

    value, _ = integrate.quad(density, -math.log(10.0), math.log(multiple), limit=200)
    return float(value)


def check_concentration_above_one() -> list[Finding]:
    """Test whether the mass is near (7) for η > 1, and grows as log|Θ| at η = 1.

    Returns:
        The findings of :func:`check_concentration` for η = 1.5 and 2; at η = 1 the mass between
        10⁴ and 10⁶ |Θ*| over that between 10² and 10⁴ |Θ*|, which is 1.
    """
    inner, middle, outer = (_mass_within(multiple, 1.0) for multiple in (1e2, 1e4, 1e6))
    ratio = (outer - middle) / (middle - inner)
    case, statistic = f"n={_N} η=1 s=0", "mass of two decades of |Θ| over the two before"
    return [*check_concentration((1.5, 2.0)), close_finding(case, statistic, 1.0, ratio, 0.01)]


def check_growth_with_n() -> list[Finding]:
    """Compare the growth of (7) and (8) with n at η = 1 and above.

    Returns:
        Exponents in n of |Θ*|² and of the speed: 1 and ½ at η = 1, 0 above.
    """
    found = []
    for eta, radius_power, speed_power in ((1.0, 1.0, 0.5), (1.5, 0.0, 0.0), (2.0, 0.0, 0.0)):
        for name, of, power in (
            ("|Θ*|²", "mode_radius_squared", radius_power),
            ("(8)", "paper_speed_at_mode", speed_power),
        ):
            exponent = _exponent(replace(_FREE, eta=eta), of, "n", 1e4, 1e6)
            statistic = f"exponent of {name} in n"
            found.append(close_finding(f"η={eta:g}", statistic, power, exponent, 0.01))
    return found


def check_powers_of_depth() -> list[Finding]:
    """Compare the growth of (7) and (8) with Fmin − F0 at fixed energy.

    Returns:
        Exponents of |Θ*|² and of the speed: 1 and η/2.
    """
    found = []
    for eta in (1.5, 2.0, 4.0):
        for name, of, power in (
            ("|Θ*|²", "mode_radius_squared", 1.0),
            ("(8)", "paper_speed_at_mode", eta / 2),
        ):
            exponent = _exponent(replace(_FREE, eta=eta), of, "F_min", 0.5, 2.0)
            statistic = f"exponent of {name} in Fmin−F0"
            found.append(close_finding(f"η={eta:g}", statistic, power, exponent, 1e-9))
    return found


# ----------------------------------------------------------------------------- speed, region

_SLOW, _FAST = 1.5, 4.0
"""Two values of η."""


def check_speed_kept() -> list[Finding]:
    """Ask whether a larger η lowers |Θ*| and keeps the speed of (8), for Fmin − F0 = 1.

    Returns:
        Ratios between η = 4 and η = 1.5: of |Θ*|², at most 1, and of the speed, at least 1.
    """
    fast, slow = replace(_FREE, eta=_FAST), replace(_FREE, eta=_SLOW)
    radius = float(fast.mode_radius_squared / slow.mode_radius_squared)
    speed = float(fast.paper_speed_at_mode / slow.paper_speed_at_mode)
    case = f"n={_N} Fmin=1 F0=0 F_init=4, η={_FAST:g} over η={_SLOW:g}"
    return [
        Finding(case, "|Θ*|²", 1.0, radius, None, None, _held(radius <= 1), 1, sense="≤"),
        Finding(case, "(8)", 1.0, speed, None, None, _held(speed >= 1), 1, sense="≥"),
    ]


def _held(holds: bool) -> Verdict:
    return Verdict.SUPPORTED if holds else Verdict.REFUTED


def check_speed_in_steps() -> list[Finding]:
    """Compare the length of a step at the mode, in units of Δt, with 2 (φ*/φ_init)^(η/2), s = 0.

    Returns:
        One finding per η.
    """
    found = []
    for eta in (_SLOW, 2.0, _FAST):
        basin = replace(_FREE, eta=eta)
        share = float(basin.potential_at_mode) ** (1 / eta) / _F_INIT
        length = float(basin.speed_at_mode)
        case = f"η={eta:g} φ*/φ_init={share:.3g}"
        statistic = "|ΔΘ|/Δt at the mode"
        found.append(close_finding(case, statistic, 2 * share ** (eta / 2), length, 1e-9))
    return found


def check_start_energy(printed: bool) -> list[Finding]:
    """Compare V (|Π_0|² + s) at the start with a formula for 𝓔.

    Args:
        printed: Take F_init^η (s + δE), as §3.1 prints it, or else (F_init − F0)^η (s + δE).

    Returns:
        One finding per F0.
    """
    eta, delta_energy, found = 2.5, 0.3, []
    for offset in (0.0, 0.5):
        exact = (_F_INIT - offset) ** eta * (delta_energy + 1)
        basin = replace(_ANY, eta=eta, F0=offset, delta_energy=delta_energy)
        formula = _F_INIT**eta * (1 + delta_energy) if printed else float(basin.energy)
        case = f"F_init={_F_INIT:g} F0={offset:g} η={eta:g} s=1"
        statistic = "formula over V(|Π_0|² + s)"
        found.append(close_finding(case, statistic, 1.0, formula / exact, 1e-9))
    return found


def check_region_far_below() -> list[Finding]:
    """Compare the exact mode for s = 1 with (7), where V is far below 𝓔.

    Returns:
        One finding per case: the ratio of the two |Θ|² is 1.
    """
    found = []
    for share in (1e-3, 1e-5):
        for eta in (1.5, 3.0):
            basin = replace(_ANY, eta=eta)
            start = float(basin.potential_at_mode / share) ** (1 / eta)
            basin = replace(basin, F_init=start)
            ratio = float(basin.exact_mode_radius_squared / basin.mode_radius_squared)
            case = f"n={_N} η={eta:g} V*/𝓔={share:g}"
            found.append(close_finding(case, "|Θ|² at the mode over (7)", 1.0, ratio, 0.01))
    return found
