"""C02, C03 and N02: the order of the energy error in Δt, without rescale and turns."""

from __future__ import annotations

from functools import partial

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import jackknife
from ecd_tune.lab.landscapes import Quadratic
from ecd_tune.lab.rules import interval_finding
from ecd_tune.lab.setups import column, part, place
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.trajectory import Moment
from ecd_tune.theory import Array

__all__ = ["CHECKS", "check_order"]

_SETTINGS = ((1.5, 0, 1.0), (3.0, 0, 1.0), (1.5, 1, 3.0), (3.0, 1, 3.0))
"""η, s, δE. Never isotropic with η = 2 and s = 0: there the flow is integrable."""
_CHAINS = 64
_STEP_SIZES = tuple(0.02 * 2.0**-k for k in range(5))
_TIME = 2.0
_N = 10
_TOLERANCE = 0.1


def _log_hamiltonian(moment: Moment, s: Array) -> Array:
    return np.log(np.exp(2 * moment.log_p) + s) + moment.log_potential


def _measure(sim: Simulator, integrator: str) -> Array:
    """Return the largest |log H − log 𝓔|, ``[settings * chains, step sizes]``."""
    etas, flags, deltas = (column(_CHAINS, *values) for values in zip(*_SETTINGS, strict=True))
    worst = np.zeros((len(etas), len(_STEP_SIZES)))
    for level, lr in enumerate(_STEP_SIZES):
        rng = sim.rng("energy")  # the same start at every step size
        setup = place(
            Quadratic(np.linspace(0.5, 2.0, _N) ** 2),
            rng,
            len(etas),
            _N,
            lr=lr,
            eta=etas,
            s=flags,
            delta_energy=deltas,
            integrator=integrator,
            conserve=False,
        )
        for moment in sim.run(setup, round(_TIME / lr), rng):
            error = np.abs(_log_hamiltonian(moment, flags) - moment.log_energy)
            worst[:, level] = np.maximum(worst[:, level], error)
    return worst


def _slope(worst: Array) -> float:
    return float(np.polyfit(np.log(_STEP_SIZES), np.log(worst.mean(axis=0)), 1)[0])


def check_order(sim: Simulator, integrator: str, order: float) -> list[Finding]:
    """Compare the slope of log error on log Δt with the order.

    Args:
        sim: Where to run.
        integrator: ``"algorithm1"`` or ``"sync"``.
        order: The predicted slope.

    Returns:
        One finding per setting.
    """
    worst = sim.cached(_measure, integrator)
    return [
        interval_finding(
            f"η={eta:g} s={s} δE={delta:g}",
            "slope",
            jackknife(_slope, part(worst, index, _CHAINS)),
            order,
            _TOLERANCE,
        )
        for index, (eta, s, delta) in enumerate(_SETTINGS)
    ]


def _check(name: str, integrator: str, order: float, source: str, expects: Verdict) -> Check:
    title = {"sync": "sync", "algorithm1": "Algorithm 1"}[integrator]
    power = {1.0: "Δt", 2.0: "Δt²"}[order]
    return Check(
        name,
        Relation(f"max |log H − log 𝓔| ∝ {power} under {title}", source),
        f"R, {order:g} ± {_TOLERANCE} for the slope in log Δt, {_STEP_SIZES[-1]:g} to 0.02",
        partial(check_order, integrator=integrator, order=order),
        expects=expects,
        family="energy",
        seconds=6.0,
    )


CHECKS = (
    _check("C02", "sync", 2.0, "theory: energy error", Verdict.SUPPORTED),
    _check("C03", "algorithm1", 1.0, "theory: energy error", Verdict.SUPPORTED),
    _check("N02", "algorithm1", 2.0, "§3.3, wrong", Verdict.REFUTED),
)
