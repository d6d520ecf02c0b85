"""ν*, the chaos strength of about one bounce per orbit (A.1), as derived and as printed.

(25) adds the random angles of an orbit as if they were one turn. Independent turns multiply
their mean cosines instead: with λ₁, momentum is kept for the time L when
ν√n = √(e^{2Δt/L} − 1), and the measured optimum has L = |Θ*|/v*, one radian of the orbit.
"""

from __future__ import annotations

import numpy as np

from ecd_tune.theory._guards import Numbers, Result, as_array, require

__all__ = ["coherent_nu", "orbit_nu", "paper_nu", "paper_nu_eq26", "paper_nu_eq27"]


def orbit_nu(n: Numbers, alpha: Numbers) -> Result:
    """Return √(expm1(2α*)/n): turns that let the momentum last for one radian of the orbit.

    Measured optima of the autocorrelation time are 0.7 to 1.15 times this, and flat.

    Args:
        n: Dimension.
        alpha: Orbit step α*, radians.

    Returns:
        ν*.
    """
    return np.sqrt(np.expm1(2 * as_array(alpha)) / as_array(n))


def coherent_nu(n: Numbers, alpha: Numbers) -> Result:
    """Return tan(α*)/√n: (24)–(25) with the right speed and the exact angle.

    Args:
        n: Dimension.
        alpha: Orbit step α*, radians.

    Returns:
        ν*; infinite from α* = π/2 on.
    """
    alpha = as_array(alpha)
    below = alpha < np.pi / 2
    return np.where(below, np.tan(np.where(below, alpha, 0.0)) / np.sqrt(n), np.inf)[()]


def paper_nu(n: Numbers, lr: Numbers, radius: Numbers, w: Numbers) -> Result:
    """Return Δt √w*/(|Θ*| √n): (24)–(25) with the printed speed, half the right one.

    Args:
        n: Dimension.
        lr: Step size Δt.
        radius: |Θ*|.
        w: V*/𝓔.

    Returns:
        ν*.
    """
    return as_array(lr) * np.sqrt(w) / (as_array(radius) * np.sqrt(n))


def paper_nu_eq26(
    n: Numbers, lr: Numbers, eta: Numbers, F_min: Numbers, curvature: Numbers, F_init: Numbers
) -> Result:
    """Return ν* of (26), for F0 = 0, s + δE = 1 and n ≫ 1.

    Args:
        n: Dimension.
        lr: Step size Δt.
        eta: η, > 1.
        F_min: Lowest loss.
        curvature: F2.
        F_init: Loss at the start.

    Returns:
        ν*.
    """
    eta, low = as_array(eta), as_array(F_min)
    require(eta > 1, "nu_star, paper_eq26", "(26) assumes η > 1; (27) is for η = 1", eta=eta)
    powers = (low / as_array(F_init) * eta / (eta - 1)) ** (eta / 2) * np.sqrt(eta - 1)
    return as_array(lr) * np.sqrt(as_array(curvature) / low / as_array(n)) * powers


def paper_nu_eq27(
    n: Numbers, lr: Numbers, eta: Numbers, F0: Numbers, curvature: Numbers, F_init: Numbers
) -> Result:
    """Return ν* of (27), for η = 1, s + δE = 1 and n ≫ 1.

    Args:
        n: Dimension.
        lr: Step size Δt.
        eta: η, 1.
        F0: Loss offset.
        curvature: F2.
        F_init: Loss at the start.

    Returns:
        ν*.
    """
    eta = as_array(eta)
    require(eta == 1, "nu_star, paper_eq27", "(27) assumes η = 1; (26) is for η > 1", eta=eta)
    height = as_array(F_init) - as_array(F0)
    return as_array(lr) * np.sqrt(as_array(curvature) / height / as_array(n))
