"""Claims of B.1 about two synthetic functions that a few thousand steps decide."""

from __future__ import annotations

import numpy as np

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.analysis.checks.rules import range_verdict
from ecd_tune.analysis.statistics import share_interval
from ecd_tune.lab.claims.findings import close_finding
from ecd_tune.lab.landscapes import Ackley, directions
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.trajectory import ChainSetup
from ecd_tune.theory import Array

__all__ = ["check_basin_left", "check_rates_of_gdm"]

_CHAINS, _STEPS = 64, 250
_AWAY = 0.5
_DRAWS, _N = 2000, 10
_TUNED = {"lr": 0.697843092, "eta": 1.010220311, "nu": 0.507272292}
"""Best values of the authors' public code for Ackley's function."""


def check_basin_left(lr: float = _TUNED["lr"]) -> list[Finding]:
    """Count chains that leave the basin of Ackley's function about (−4, 3), from rest.

    Args:
        lr: Step size; that of the public code's best trial by default, with its η and ν.

    Returns:
        The share of 64 chains that leave within the 250 iterations of a trial.
    """
    sim = Simulator()
    rng = sim.rng("tuned escape")
    start = np.tile([-4.0, 3.0], (_CHAINS, 1))
    setup = ChainSetup(
        Ackley(),
        start,
        directions(rng, _CHAINS, 2),
        lr=lr,
        eta=_TUNED["eta"],
        nu=_TUNED["nu"],
        integrator="algorithm1",
        s=1,
        delta_energy=0.0,
    )
    left = np.zeros(_CHAINS, dtype=bool)
    for moment in sim.run(setup, _STEPS, rng):
        left |= (np.abs(moment.theta - start) > _AWAY).any(axis=1)
    found = share_interval(int(left.sum()), _CHAINS)
    assert found is not None
    verdict = range_verdict(found.low, found.high, 0.5, 1.0)
    case, share = f"Ackley from (−4, 3), Δt={lr:.3g} η=1.01 ν=0.507", float(left.mean())
    ends = found.low, found.high
    return [Finding(case, "share that leaves", 0.5, share, *ends, verdict, _CHAINS, sense="≥")]


def check_rates_of_gdm(low: float = 1e-2, high: float = 1e4) -> list[Finding]:
    """Run GDM on Zakharov's function from (1, …, 1) with learning rates of the wider range.

    Args:
        low: Smallest α, drawn evenly in the logarithm, which favours small ones.
        high: Largest α.

    Returns:
        The share of 2000 draws, β uniform in (0.8, 1), whose 250 iterations stay finite.
    """
    rng = np.random.default_rng(7)
    rate = 10 ** rng.uniform(np.log10(low), np.log10(high), (_DRAWS, 1))
    beta = rng.uniform(0.8, 1.0, (_DRAWS, 1))
    theta, momentum = np.ones((_DRAWS, _N)), np.zeros((_DRAWS, _N))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            momentum = beta * momentum - _slope(theta)
            theta = theta + rate * momentum
        survived = np.isfinite(theta).all(axis=1)
    case = f"Zakharov n={_N}, α in [{low:g}, {high:g}]"
    return [close_finding(case, "share that stays finite", 0.0, float(survived.mean()))]


def _slope(theta: Array) -> Array:
    """Return the gradient of Σθ² + S² + S⁴ with S = ½ Σ i θ_i."""
    weights = 0.5 * np.arange(1, _N + 1)
    s = (theta @ weights)[:, None]
    return np.asarray(2 * theta + (2 * s + 4 * s**3) * weights)
