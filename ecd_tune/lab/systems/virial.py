"""C19, C20 and N11: virial relations, which hold for any loss and dimension."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import jackknife, mean
from ecd_tune.lab.landscapes import Logistic, Quadratic, directions
from ecd_tune.lab.rules import interval_finding
from ecd_tune.lab.setups import column, place, potential_share
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.trajectory import ChainSetup, Moment
from ecd_tune.theory import Array, bounce_cosine, effective_eta, measure_exponent

__all__ = ["CHECKS", "check_virial"]

_N, _ETA = 20, 2.0
_ROOTS: tuple[float, ...] = (0.5, 1.5, 3.0)
_CHAINS, _STEPS = 120, 6000
_STEP = 0.12
"""Δt/|Π| at 1.5 Fmin."""
_TOLERANCE, _REGION_TOLERANCE = 0.03, 0.01


def _measure_logistic(
    sim: Simulator, integrator: str, chains: int = _CHAINS, steps: int = _STEPS
) -> Array:
    """Return W = ½ ⟨(Θ−c)·G⟩ of each chain about the minimiser c, one row per ν."""
    rng = sim.rng(f"virial {integrator}")
    landscape = Logistic.random(sim.rng("virial data"), n=_N)
    centre = landscape.minimiser()
    rows = chains * len(_ROOTS)
    lowest = float(landscape(centre[None])[0][0])
    theta = _on_level(landscape, centre, directions(rng, rows, _N), 2.5 * lowest)
    setup = ChainSetup(
        landscape,
        theta,
        directions(rng, rows, _N),
        lr=_STEP * (2.5 / 1.5) ** (_ETA / 2),
        eta=_ETA,
        nu=column(chains, *_ROOTS) / math.sqrt(_N),
        integrator=integrator,
    )

    def virial(moment: Moment) -> Array:
        work = np.einsum("bi,bi->b", moment.theta - centre, moment.gradient)
        return np.asarray(0.5 * _ETA * work / moment.loss)

    means = sim.average(setup, steps, rng, steps // 4, W=virial).means["W"]
    return means.reshape(len(_ROOTS), chains)


def _on_level(landscape: Logistic, centre: Array, ways: Array, level: float) -> Array:
    """Return the points on rays from the minimiser where F is ``level``, by bisection."""
    low, high = np.zeros(len(ways)), np.full(len(ways), 1e3)
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = landscape(centre + middle[:, None] * ways)[0] < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(centre + high[:, None] * ways)


def check_virial(
    sim: Simulator,
    integrator: str,
    predict: Callable[[float], float],
    which: slice = slice(None),
    chains: int = _CHAINS,
    steps: int = _STEPS,
) -> list[Finding]:
    """Compare W on the logistic loss, s = 0, with a prediction.

    Args:
        sim: Where to run.
        integrator: ``"algorithm1"`` or ``"sync"``.
        predict: From ν to the predicted W.
        which: Values of ν√n; all by default.
        chains: Chains of each ν.
        steps: Steps; a quarter is burn-in.

    Returns:
        One finding per ν.
    """
    table = sim.cached(_measure_logistic, integrator, chains, steps)
    return [
        interval_finding(
            f"{integrator} logistic n={_N} η={_ETA:g} ν√n={root:g}",
            "W",
            mean(row),
            predict(root / math.sqrt(_N)),
            _TOLERANCE,
        )
        for root, row in zip(_ROOTS[which], table[which], strict=True)
    ]


def _algorithm1_virial(nu: float) -> float:
    return _ETA / float(effective_eta(_ETA, _N, nu))


def _check_region(sim: Simulator) -> list[Finding]:
    """Compare both sides of the relation of s = 1."""
    nu, chains, found = 1.0 / math.sqrt(_N), 800, []
    cosine = float(bounce_cosine(_N, nu))
    for integrator in ("sync", "algorithm1"):
        rng = sim.rng(f"virial region {integrator}")
        setup = place(
            Quadratic(np.geomspace(0.3, 3.0, _N)),
            rng,
            chains,
            _N,
            lr=0.1,
            eta=_ETA,
            nu=nu,
            s=1,
            delta_energy=0.2,
            integrator=integrator,
        )
        sync = integrator == "sync"
        kappa = 0.5 * _N if sync else float(measure_exponent(_N, nu, integrator))
        tilt = 0.0 if sync else (1 - cosine) / (1 + cosine)

        def work(moment: Moment, kappa: float = kappa, tilt: float = tilt) -> Array:
            pull = np.einsum("bi,bi->b", moment.theta, moment.gradient) * _ETA / moment.loss
            return np.asarray(pull * (kappa + potential_share(moment) * tilt))

        record = sim.average(
            setup, 6000, rng, 1500, work=work, room=lambda moment: 1 - potential_share(moment)
        )
        ratio = jackknife(
            lambda left, right: float(left.mean() / right.mean() / _N),
            record.means["work"],
            record.means["room"],
        )
        case = f"{integrator} n={_N} F2=0.3…3 η={_ETA:g} s=1 ν√n=1"
        found.append(
            interval_finding(
                case, "ratio of the sides", ratio, 1.0, _REGION_TOLERANCE, record.skipped
            )
        )
    return found


CHECKS = (
    Check(
        "C19",
        Relation("½E[(Θ−c)·G] = 1 under sync, η/η_eff under Algorithm 1", "theory: virial"),
        f"R, ± {_TOLERANCE}",
        lambda sim: (
            check_virial(sim, "sync", lambda nu: 1.0)
            + check_virial(sim, "algorithm1", _algorithm1_virial)
        ),
        family="virial",
        seconds=25.0,
    ),
    Check(
        "C20",
        Relation("s = 1: E[(Θ−c)·G (κ + w(1−λ)/(1+λ))] = n E[1−w]", "theory: virial"),
        f"R, 1 ± {_REGION_TOLERANCE} for the ratio of the sides",
        _check_region,
        family="virial s=1",
        seconds=15.0,
    ),
    Check(
        "N11",
        Relation("½E[(Θ−c)·G] = 1 under Algorithm 1 at ν√n = 3", "eq. 4 read for Algorithm 1"),
        f"R, 1 ± {_TOLERANCE}",
        partial(
            check_virial, integrator="algorithm1", predict=lambda nu: 1.0, which=slice(2, None)
        ),
        expects=Verdict.REFUTED,
        family="virial",
    ),
)
