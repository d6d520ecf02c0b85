"""C11, C12, N09 and N13: the bounds of s = 1, on the step and on the region."""

from __future__ import annotations

import math

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import bound_finding, range_verdict
from ecd_tune.analysis.statistics import share_interval
from ecd_tune.lab.landscapes import Ackley, Quadratic, RippledBowl, directions
from ecd_tune.lab.setups import column, part, place
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.trajectory import ChainSetup, Landscape
from ecd_tune.theory import Array

__all__ = ["CHECKS", "check_region", "check_step"]

_N = 10
_INTEGRATORS = ("algorithm1", "sync")
_STEP_SIZES = tuple(float(x) for x in np.geomspace(0.003, 10.0, 8))
_CHAINS = 64
_SMALL = (0.01, 0.03, 0.1)


def _start(
    landscape: Landscape, rng: np.random.Generator, lr: Array, delta_energy: float, integrator: str
) -> ChainSetup:
    return place(
        landscape,
        rng,
        len(lr),
        _N,
        lr=lr,
        eta=3.0,
        nu=0.5 / math.sqrt(_N),
        s=1,
        delta_energy=delta_energy,
        integrator=integrator,
    )


def check_step(sim: Simulator, steps: int = 250) -> list[Finding]:
    """Search for a step longer than Δt, for s = 1 and any Δt.

    Args:
        sim: Where to run.
        steps: Steps of each of 8 step sizes times 64 chains.

    Returns:
        One finding per integrator.
    """
    found = []
    landscape = Quadratic(np.geomspace(0.3, 3.0, _N))
    for integrator in _INTEGRATORS:
        rng, lr = sim.rng(f"step {integrator}"), column(_CHAINS, *_STEP_SIZES)
        largest = max(
            float(np.max(np.linalg.norm(moment.moved, axis=1) / lr))
            for moment in sim.run(_start(landscape, rng, lr, 0.5, integrator), steps, rng)
        )
        case = f"{integrator} n={_N} Δt={_STEP_SIZES[0]:g}…{_STEP_SIZES[-1]:g}"
        found.append(
            bound_finding(case, "max |ΔΘ|/Δt", largest, 1.0, largest - 1.0, steps * len(lr))
        )
    return found


def check_region(sim: Simulator, step_sizes: tuple[float, ...], steps: int = 2000) -> list[Finding]:
    """Search for a point with V > 𝓔, for s = 1 on the rippled bowl.

    Args:
        sim: Where to run.
        step_sizes: Values of Δt, 64 chains each.
        steps: Steps of each.

    Returns:
        One finding per step size and integrator.
    """
    found = []
    for integrator in _INTEGRATORS:
        rng, lr = sim.rng(f"region {integrator} {step_sizes}"), column(_CHAINS, *step_sizes)
        largest = np.full(len(lr), -np.inf)
        # δE = 0: at rest on the edge of the region.
        for moment in sim.run(_start(RippledBowl(), rng, lr, 0.0, integrator), steps, rng):
            if moment.t:  # the start is exactly on the edge
                largest = np.maximum(largest, moment.log_potential - moment.log_energy)
        for index, size in enumerate(step_sizes):
            log_w = float(part(largest, index, _CHAINS).max())
            case, excess = f"{integrator} Δt={size:g}", math.expm1(max(log_w, 0.0))
            found.append(
                bound_finding(case, "max log w", log_w, 0.0, excess, (steps - 1) * _CHAINS)
            )
    return found


def _check_escape(sim: Simulator) -> list[Finding]:
    """Count chains that leave the local basin of (−4, 3) at rest on the region's edge."""
    chains, rng, landscape = 32, sim.rng("escape"), Ackley()
    start = np.tile([-4.0, 3.0], (chains, 1))
    setup = ChainSetup(
        landscape,
        start,
        directions(rng, chains, 2),
        lr=0.1,
        eta=2.0,
        nu=0.1,
        integrator="algorithm1",
        s=1,
        delta_energy=0.0,
    )
    left = np.zeros(chains, dtype=bool)
    for moment in sim.run(setup, 4000, rng):
        left |= (np.abs(moment.theta - start) > 0.5).any(axis=1)
    interval = share_interval(int(left.sum()), chains)
    assert interval is not None
    verdict = range_verdict(interval.low, interval.high, 0.5, 1.0)
    return [
        Finding(
            "Ackley from (−4, 3), Δt=0.1 η=2",
            "share that leaves",
            0.5,
            float(left.mean()),
            interval.low,
            interval.high,
            verdict,
            chains,
            sense="≥",
        )
    ]


_B = "B: no excess above 1e-9 in at least 1e5 chain-steps"

CHECKS = (
    Check(
        "C11",
        Relation("s = 1: |ΔΘ| ≤ Δt for any Δt and loss, under either integrator", "theory: speed"),
        _B,
        check_step,
        family="bounds",
        seconds=8.0,
    ),
    Check(
        "C12",
        Relation("s = 1: V ≤ 𝓔, the region that is reached, at small Δt", "§3.1, §3.5"),
        _B,
        lambda sim: check_region(sim, _SMALL),
        family="bounds",
    ),
    Check(
        "N09",
        Relation("s = 1: V ≤ 𝓔 at Δt = 1", "§3.5 read for any Δt"),
        _B,
        lambda sim: check_region(sim, (1.0,)),
        expects=Verdict.REFUTED,
        family="bounds",
    ),
    Check(
        "N13",
        Relation("s = 1, δE = 0, Δt = 0.1 leaves the local basin of (−4, 3)", "eq. 29, Thm. 1"),
        "at least half of 32 chains leave, exact binomial 95 % interval",
        _check_escape,
        expects=Verdict.REFUTED,
        family="bounds",
    ),
)
