"""C06, C08 and N05: the stationary law of x for s = 1, on the region that is allowed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import mean
from ecd_tune.lab.landscapes import isotropic
from ecd_tune.lab.rules import interval_finding, ks_finding
from ecd_tune.lab.setups import column, place, x_of
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.systems.law import KS_RULE, Case, beta_law, split_cases
from ecd_tune.theory import Basin

__all__ = ["CHECKS"]

_REGION = ((2.5, 0.2), (4.0, 0.0), (2.5, 0.2))
"""F_init and δE of s = 1, with ν√n = 0.5, 1, 3."""
_REGION_ROOTS = (0.5, 1.0, 3.0)
_REGION_TOLERANCE = 0.003


def _measure_region(
    sim: Simulator, integrator: str, chains: int = 800, steps: int = 9000
) -> list[Case]:
    """Run s = 1 from the sphere on which F = F_init."""
    n, rng = 20, sim.rng(f"law region {integrator}")
    starts, deltas = (column(chains, *values) for values in zip(*_REGION, strict=True))
    setup = place(
        isotropic(n),
        rng,
        len(starts),
        n,
        radius=np.sqrt(starts - 1.0),
        lr=0.03,
        eta=2.0,
        nu=column(chains, *_REGION_ROOTS) / math.sqrt(n),
        s=1,
        delta_energy=deltas,
        integrator=integrator,
    )
    record = sim.average(setup, steps, rng, steps // 3, x=x_of)
    names = [
        f"n=20 η=2 F_init={F:g} δE={d:g} ν√n={root:g}"
        for (F, d), root in zip(_REGION, _REGION_ROOTS, strict=True)
    ]
    return split_cases(record, names, chains)


def _region_law(index: int, integrator: str) -> Any:
    F_init, delta = _REGION[index]
    basin = Basin(20, 2.0, 1.0, 0.0, 1.0, F_init, 1, delta)
    return basin.gap_law(_REGION_ROOTS[index] / math.sqrt(20), integrator)


def _check_region(sim: Simulator, integrator: str) -> list[Finding]:
    cases = sim.cached(_measure_region, integrator)
    return [
        ks_finding(case.name, case.final, _region_law(i, integrator), len(cases), case.skipped)
        for i, case in enumerate(cases)
    ]


def _check_region_mean(sim: Simulator) -> list[Finding]:
    case = sim.cached(_measure_region, "sync")[0]
    exact, estimate = float(_region_law(0, "sync").mean()), mean(case.average)
    return [interval_finding(case.name, "mean x", estimate, exact, _REGION_TOLERANCE, case.skipped)]


def _check_region_without_factor(sim: Simulator) -> list[Finding]:
    cases = sim.cached(_measure_region, "sync")
    return [
        ks_finding(case.name, case.final, beta_law(20, 2.0), len(cases), case.skipped)
        for case in cases
    ]


CHECKS = (
    Check(
        "C06",
        Relation("s = 1: V^(−n/2) (1−w)^(n/2−1) under sync", "theory: law"),
        f"{KS_RULE}; R, exact mean ± {_REGION_TOLERANCE} for mean x at ν√n = 0.5",
        lambda sim: _check_region(sim, "sync") + _check_region_mean(sim),
        family="law s=1 sync",
        seconds=20.0,
    ),
    Check(
        "C08",
        Relation("s = 1: V^(−κ) (1−w)^(n/(1+λ)−1) under Algorithm 1", "theory: Algorithm 1"),
        KS_RULE,
        lambda sim: _check_region(sim, "algorithm1"),
        family="law s=1 algorithm1",
        seconds=20.0,
    ),
    Check(
        "N05",
        Relation("(4) holds for s = 1 as it stands", "eq. 4, without its second factor"),
        KS_RULE,
        _check_region_without_factor,
        expects=Verdict.REFUTED,
        family="law s=1 sync",
    ),
)
