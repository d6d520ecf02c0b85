"""The random turn of the momentum: its mean cosine λ, its angle, and the exponent that it shifts.

Π' = |Π| (Π̂ + νz)/|Π̂ + νz| with z standard normal (eq. 14 and 22). λ = E[cos α] is the mean
resultant length of a projected normal distribution::

    λ(n, ν) = Γ((n+1)/2) / (√2 ν Γ(n/2+1)) · 1F1(1/2; n/2+1; −1/(2ν²))
            = √(2/π)/ν · ∫₀^{π/2} exp(−sin²t/(2ν²)) cosⁿt dt

In the integral, which follows from Euler's for 1F1, the Γ functions cancel and every term is
positive, so that Gauss's rule is exact to rounding for every n and ν.

The paper takes E[z_i z_j] = n δ_ij, where it is δ_ij, and an angle of π/2 "for ν√n > 1", which is
asymptotic only: the angle is near arctan(ν√n), 45° at 1 and 72° at 3.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erfc

from ecd_tune.theory._guards import (
    Array,
    Numbers,
    Result,
    as_array,
    require,
    require_range,
)

__all__ = [
    "bounce_angle",
    "bounce_cosine",
    "bounce_cosine_leading",
    "bounce_cosine_second_order",
    "effective_eta",
    "effective_eta_leading",
    "measure_exponent",
    "nu_for_bounce_angle",
    "paper_bounce_angle",
    "unit_speed_eta",
]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(120)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
"""Gauss's rule on [0, 1]."""
_DEEP = 40.0
"""Integrands are cut where they fall below exp(-40)."""
_SMALL_NU = 0.08
"""Below it the Gaussian of the integral ends before its range does."""
INTEGRATORS = ("algorithm1", "sync")


def _arguments(formula: str, n: Numbers, nu: Numbers) -> tuple[Array, Array]:
    n = require_range(formula, "n", n, 1.0)
    nu = require_range(formula, "nu", nu, 0.0)
    n, nu = np.broadcast_arrays(n, nu)
    return n, nu


def bounce_cosine(n: Numbers, nu: Numbers) -> Result:
    """Return λ = E[cos α], the mean cosine of the angle of one turn.

    Args:
        n: Dimension, >= 1.
        nu: Chaos strength ν, >= 0; 0 is no turn.

    Returns:
        λ, with a relative error near 1e-14, in (0, 1].
    """
    n, nu = _arguments("bounce_cosine", n, nu)
    turns = nu > 1e-300  # so that 1/ν is finite; below, λ is 1 for any n that can be
    safe = np.where(turns, nu, 1.0)
    end = np.minimum(np.sqrt(2 * _DEEP / (n * safe**2 + 4 / np.pi**2)), np.pi / 2 / safe)
    sine = np.sin((end * safe)[..., None] * _NODES)
    exponent = 0.5 * n[..., None] * np.log1p(-(sine**2)) - 0.5 * (sine / safe[..., None]) ** 2
    value = np.sqrt(2 / np.pi) * end * (np.exp(exponent) @ _WEIGHTS)
    return np.where(turns, np.minimum(value, 1.0), 1.0)[()]


def bounce_cosine_leading(n: Numbers, nu: Numbers) -> Result:
    """Return λ₁ = (1 + ν²n)^(−1/2), off by at most 0.3/n relative.

    Args:
        n: Dimension, >= 1.
        nu: Chaos strength ν, >= 0.

    Returns:
        λ₁.
    """
    n, nu = _arguments("bounce_cosine_leading", n, nu)
    return (1.0 / np.sqrt(1.0 + nu**2 * n))[()]


def bounce_cosine_second_order(n: Numbers, nu: Numbers) -> Result:
    """Return λ₂ = λ₁ (1 + q(2−q)/(4n(1+q)²)) with q = ν²n, off by at most 0.18/n² relative.

    Args:
        n: Dimension, >= 1.
        nu: Chaos strength ν, >= 0.

    Returns:
        λ₂.
    """
    n, nu = _arguments("bounce_cosine_second_order", n, nu)
    q = nu**2 * n
    return ((1 + q * (2 - q) / (4 * n * (1 + q) ** 2)) / np.sqrt(1 + q))[()]


def bounce_angle(n: Numbers, nu: Numbers) -> Result:
    """Return arccos λ, the angle of one turn, accurate for the smallest ν too.

    Args:
        n: Dimension, >= 1.
        nu: Chaos strength ν, >= 0.

    Returns:
        The angle in radians, in [0, π/2).
    """
    n, nu = _arguments("bounce_angle", n, nu)
    small = 2 * np.arcsin(np.sqrt(0.5 * _deficit(n, np.minimum(nu, _SMALL_NU))))
    return np.where(nu <= _SMALL_NU, small, np.arccos(bounce_cosine(n, nu)))[()]


def _deficit(n: Array, nu: Array) -> Array:
    """Return 1 − λ without cancellation, for ν <= 0.08.

    λ = √(2/π) ∫₀^{1/ν} e^{−y²/2} (1 − ν²y²)^{(n−1)/2} dy, and the same without the power is 1
    less a tail.
    """
    safe = np.where(nu > 1e-300, nu, 1e-3)
    y = np.sqrt(2 * _DEEP) * 1.2 * _NODES
    loss = -np.expm1(0.5 * (n[..., None] - 1) * np.log1p(-((safe[..., None] * y) ** 2)))
    integral = np.sqrt(2 * _DEEP) * 1.2 * ((np.exp(-0.5 * y**2) * loss) @ _WEIGHTS)
    value = np.sqrt(2 / np.pi) * integral + erfc(1 / (np.sqrt(2) * safe))
    return np.where(nu > 1e-300, value, 0.0)


def nu_for_bounce_angle(n: Numbers, angle: Numbers) -> Result:
    """Return the ν whose :func:`bounce_angle` is ``angle``.

    Args:
        n: Dimension, >= 2.
        angle: Radians, in [0, π/2).

    Returns:
        ν.
    """
    formula = "nu_for_bounce_angle"
    n = require_range(formula, "n", n, 2.0)
    angle = require_range(formula, "angle", angle, 0.0)
    require(angle < np.pi / 2, formula, "no ν turns by π/2 or more on average", angle=angle)
    n, angle = np.broadcast_arrays(n, angle)
    guess = np.log(np.tan(np.where(angle > 0, angle, 1.0)) / np.sqrt(n))
    low, high = guess - 3.0, guess + 3.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = bounce_angle(n, np.exp(middle)) > angle
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(angle > 0, np.exp(0.5 * (low + high)), 0.0)[()]


def paper_bounce_angle(n: Numbers, nu: Numbers) -> Result:
    """Return the angle as the paper states it (§3.2, A.1): ν√n up to 1, π/2 above.

    Args:
        n: Dimension, >= 1.
        nu: Chaos strength ν, >= 0.

    Returns:
        Radians; :func:`bounce_angle` is right.
    """
    n, nu = _arguments("paper_bounce_angle", n, nu)
    root = nu * np.sqrt(n)
    return np.where(root <= 1, root, np.pi / 2)[()]


def measure_exponent(n: Numbers, nu: Numbers, integrator: str = "sync") -> Result:
    """Return κ of the law V^{−κ} that an integrator samples in the limit of small Δt (s = 0).

    ``sync`` samples the law of the flow, κ = n/2. Algorithm 1 rescales Π half a step late and
    turns a Π of t+½, so that κ = 1 + (n−2)/(1+λ).

    Args:
        n: Dimension, >= 1.
        nu: Chaos strength ν, >= 0.
        integrator: ``"algorithm1"`` or ``"sync"``.

    Returns:
        κ.

    Raises:
        TheoryError: Unknown integrator.
    """
    n, nu = _arguments("measure_exponent", n, nu)
    require(
        integrator in INTEGRATORS,
        "measure_exponent",
        f"the integrators are {', '.join(INTEGRATORS)}",
        integrator=np.asarray(integrator),
    )
    if integrator == "sync":
        return (0.5 * n)[()]
    return (1 + (n - 2) / (1 + as_array(bounce_cosine(n, nu))))[()]


def effective_eta(eta: Numbers, n: Numbers, nu: Numbers, integrator: str = "algorithm1") -> Result:
    """Return η_eff, the exponent whose exact law the integrator samples (s = 0, small Δt).

    η_eff = 2κη/n; for Algorithm 1 that is (2η/(1+λ)) (1 − (1−λ)/n), from η (λ → 1) to 2η(1 − 1/n)
    (λ → 0). So raising ν lowers the loss through η_eff, independently of mixing.

    Args:
        eta: Concentration exponent η, >= 1.
        n: Dimension, >= 1.
        nu: Chaos strength ν, >= 0.
        integrator: ``"algorithm1"`` or ``"sync"``, for which η_eff = η.

    Returns:
        η_eff.
    """
    eta = require_range("effective_eta", "eta", eta, 1.0)
    kappa = measure_exponent(n, nu, integrator)
    if integrator == "sync":
        return np.broadcast_to(eta, np.broadcast_shapes(eta.shape, np.shape(kappa)))[()]
    return (2 * kappa * eta / as_array(n))[()]


def effective_eta_leading(eta: Numbers, n: Numbers, nu: Numbers) -> Result:
    """Return 2η/(1+λ), the large-n form of :func:`effective_eta` for Algorithm 1.

    Args:
        eta: Concentration exponent η, >= 1.
        n: Dimension, >= 1.
        nu: Chaos strength ν, >= 0.

    Returns:
        The leading form; wrong at small n (7 % at n = 10, ν√n = 3).
    """
    eta = require_range("effective_eta_leading", "eta", eta, 1.0)
    return (2 * eta / (1 + as_array(bounce_cosine(n, nu))))[()]


def unit_speed_eta(eta: Numbers, n: Numbers, nu: Numbers, integrator: str = "algorithm1") -> Result:
    """Return η_eff of ECD at unit speed, the exponent that its integrators sample with.

    ``sync`` samples with η. The order kick, drift, turn turns the p of t+½: 2η/(1+λ), for every n,
    since a kick takes (1 − 1/n) n/(n−1) = 1 of the force on the mean.

    Args:
        eta: Concentration exponent η, >= 1.
        n: Dimension, >= 1.
        nu: Chaos strength ν = ν̂/√n, >= 0.
        integrator: ``"algorithm1"`` or ``"sync"``.

    Returns:
        η_eff.

    Raises:
        TheoryError: Unknown integrator.
    """
    if integrator == "algorithm1":
        return effective_eta_leading(eta, n, nu)
    return effective_eta(eta, n, nu, integrator)
