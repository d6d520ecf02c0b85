"""C09, C10 and N01: the mode of the radius, and the speed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import jackknife, mean
from ecd_tune.lab.landscapes import isotropic
from ecd_tune.lab.rules import interval_finding
from ecd_tune.lab.setups import place, potential_share
from ecd_tune.lab.simulator import Simulator
from ecd_tune.theory import Array, Basin

__all__ = ["CHECKS", "check_speed", "measure_radius"]

_SETTINGS = ((100, 1.5, 400), (100, 2.0, 200), (400, 3.0, 60), (30, 2.0, 800))
"""n, η, chains: more where the radius varies more."""
_STEPS, _BURN, _EVERY = 5000, 1000, 5
_STEPS_PER_ORBIT = 60
_ROOT = 0.4
_BINS = 30
_MODE_TOLERANCE, _SPEED_TOLERANCE = 0.01, 0.03


@dataclass(frozen=True)
class _Radii:
    """Radii ``[chains, times]`` in units of |Θ*|, and speeds in units of √(w(1−sw))."""

    name: str
    radii: Array
    speeds: Array


def measure_radius(sim: Simulator, n: int, eta: float, chains: int, steps: int = _STEPS) -> _Radii:
    """Run sync on an isotropic basin with Δt = T/60 and keep the radii.

    Args:
        sim: Where to run.
        n: Dimension.
        eta: η.
        chains: Number of chains.
        steps: Number of steps; a fifth is burn-in.

    Returns:
        Radii and speeds.
    """
    basin = Basin(n, eta, 1.0, 0.0, 1.0, 4.0, 0, 1.0)
    lr = float(basin.lr_for_orbit_step(2 * np.pi / _STEPS_PER_ORBIT))
    rng = sim.rng(f"mode {n} {eta}")
    setup = place(isotropic(n), rng, chains, n, lr=lr, eta=eta, nu=_ROOT / math.sqrt(n))
    scale = math.sqrt(basin.mode_radius_squared)
    radii, speeds = [], []
    for moment in sim.run(setup, steps, rng):
        if moment.t < steps * _BURN // _STEPS or moment.t % _EVERY:
            continue
        radii.append(np.linalg.norm(moment.theta, axis=1) / scale)
        length = np.linalg.norm(moment.moved, axis=1)
        speeds.append(length / lr / np.sqrt(potential_share(moment)))
    name = f"n={n} η={eta:g} ν√n={_ROOT}"
    return _Radii(name, np.stack(radii, axis=1), np.mean(speeds, axis=0))


def _mode(radii: Array) -> Callable[[Array], float]:
    """Return the mode from counts by chain: a quartic through the log-histogram near it."""
    centre, spread = float(radii.mean()), float(radii.std())
    edges = np.linspace(-1.5, 1.5, _BINS + 1)
    middles, fine = 0.5 * (edges[1:] + edges[:-1]), np.linspace(-1.2, 1.2, 2401)
    table = np.stack([np.histogram(row, centre + spread * edges)[0] for row in radii])

    def mode(which: Array) -> float:
        counts = table[which.astype(int)].sum(axis=0).astype(np.float64)
        quartic = np.polynomial.Polynomial.fit(
            middles, np.log(np.maximum(counts, 0.5)), 4, w=np.sqrt(counts)
        )
        return centre + spread * float(fine[np.argmax(quartic(fine))])

    return mode


def _measure(sim: Simulator) -> list[_Radii]:
    return [measure_radius(sim, n, eta, chains) for n, eta, chains in _SETTINGS]


def _check_mode(sim: Simulator) -> list[Finding]:
    found = []
    for run in sim.cached(_measure):
        chains = np.arange(len(run.radii), dtype=np.float64)
        estimate = jackknife(_mode(run.radii), chains)
        found.append(interval_finding(run.name, "mode/|Θ*|", estimate, 1.0, _MODE_TOLERANCE))
    return found


def check_speed(runs: list[_Radii], factor: float) -> list[Finding]:
    """Compare |ΔΘ|/Δt with a multiple of √(w(1−sw)).

    Args:
        runs: From :func:`measure_radius`.
        factor: The multiple.

    Returns:
        One finding per run.
    """
    return [
        interval_finding(run.name, "speed/√(w(1−sw))", mean(run.speeds), factor, _SPEED_TOLERANCE)
        for run in runs
    ]


CHECKS = (
    Check(
        "C09",
        Relation("the radius has its mode at |Θ*|² = (Fmin−F0)(n−1)/(F2(1+n(η−1)))", "eq. 7"),
        f"R, 1 ± {_MODE_TOLERANCE} for mode/|Θ*|",
        _check_mode,
        family="mode",
        seconds=40.0,
    ),
    Check(
        "C10",
        Relation("|Θ̇| = 2√(w(1−sw)): the speed has a factor 2", "theory: speed"),
        f"R, 2 ± {_SPEED_TOLERANCE}",
        lambda sim: check_speed(sim.cached(_measure), 2.0),
        family="mode",
    ),
    Check(
        "N01",
        Relation("|Θ̇| = √(𝓔V)", "eq. 5 and 8, wrong"),
        f"R, 1 ± {_SPEED_TOLERANCE}",
        lambda sim: check_speed(sim.cached(_measure), 1.0),
        expects=Verdict.REFUTED,
        family="mode",
    ),
)
