"""C15 and N12: the level at which the loss stays, from the law of x."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import mean
from ecd_tune.lab.landscapes import isotropic
from ecd_tune.lab.rules import interval_finding
from ecd_tune.lab.setups import column, part, place
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.trajectory import Moment
from ecd_tune.theory import Array, Basin

__all__ = ["CHECKS", "check_plateau"]


@dataclass(frozen=True)
class _Group:
    """Settings of one dimension and integrator, run at once."""

    n: int
    integrator: str
    settings: tuple[tuple[float, float], ...]
    """η, ν√n."""
    chains: int


_GROUPS = (
    _Group(10, "sync", ((2.0, 0.5), (4.0, 0.5)), 800),
    _Group(50, "sync", ((1.5, 0.5), (2.0, 0.5), (4.0, 0.5)), 200),
    _Group(200, "sync", ((2.0, 0.5),), 60),
    _Group(50, "algorithm1", ((1.5, 1.0), (2.0, 1.0), (4.0, 3.0)), 200),
)
_STEPS, _BURN = 6000, 1500
_STEPS_PER_ORBIT = 80
_TOLERANCE = 0.02


@dataclass(frozen=True)
class _Plateau:
    group: _Group
    eta: float
    root: float
    gaps: Array
    """Mean F − Fmin of each chain."""

    @property
    def basin(self) -> Basin:
        """The basin of all these runs: Fmin = F2 = 1, F0 = 0."""
        return Basin(self.group.n, self.eta, 1.0, 0.0, 1.0, 4.0, 0, 1.0)

    @property
    def law(self) -> float:
        """The plateau with η_eff."""
        nu = self.root / math.sqrt(self.group.n)
        return float(self.basin.plateau_gap(nu, self.group.integrator))


def _gap(moment: Moment) -> Array:
    return moment.loss - 1.0


def _measure(sim: Simulator) -> list[_Plateau]:
    found = []
    for group in _GROUPS:
        etas, roots = (
            column(group.chains, *values) for values in zip(*group.settings, strict=True)
        )
        basin = Basin(group.n, etas, 1.0, 0.0, 1.0, 4.0, 0, 1.0)
        rng = sim.rng(f"plateau {group.n} {group.integrator}")
        setup = place(
            isotropic(group.n),
            rng,
            len(etas),
            group.n,
            lr=basin.lr_for_orbit_step(2 * np.pi / _STEPS_PER_ORBIT),
            eta=etas,
            nu=roots / math.sqrt(group.n),
            integrator=group.integrator,
        )
        gaps = sim.average(setup, _STEPS, rng, _BURN, gap=_gap).means["gap"]
        found += [
            _Plateau(group, eta, root, part(gaps, i, group.chains))
            for i, (eta, root) in enumerate(group.settings)
        ]
    return found


def check_plateau(
    sim: Simulator, predict: Callable[[_Plateau], float], which: slice = slice(None)
) -> list[Finding]:
    """Compare the mean gap with a prediction.

    Args:
        sim: Where to run.
        predict: From a run to its predicted gap.
        which: Settings; all by default.

    Returns:
        One finding per run.
    """
    found = []
    for run in sim.cached(_measure)[which]:
        case = f"{run.group.integrator} n={run.group.n} η={run.eta:g} ν√n={run.root:g}"
        ratio = mean(run.gaps / predict(run))
        found.append(interval_finding(case, "gap/predicted", ratio, 1.0, _TOLERANCE))
    return found


CHECKS = (
    Check(
        "C15",
        Relation("E[F−Fmin] = (Fmin−F0) n/((η_eff−1)n−2)", "eq. 4, theory: law"),
        f"R, 1 ± {_TOLERANCE} for gap/law",
        partial(check_plateau, predict=lambda run: run.law),
        family="plateau",
        seconds=30.0,
    ),
    Check(
        "N12",
        Relation("E[F−Fmin] = (Fmin−F0)/(η−1) at n = 10", "eq. 4 for n → ∞, wrong here"),
        f"R, 1 ± {_TOLERANCE} for gap/predicted",
        partial(check_plateau, predict=lambda run: 1.0 / (run.eta - 1.0), which=slice(1)),
        expects=Verdict.REFUTED,
        family="plateau",
    ),
)
