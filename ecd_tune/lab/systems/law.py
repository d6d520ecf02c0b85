"""C04, C05, C07, N03 and N04: the stationary law of x = (F−Fmin)/(F−F0), for s = 0.

Fmin = 1 and F0 = 0 in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import jackknife
from ecd_tune.lab.landscapes import Quadratic, isotropic
from ecd_tune.lab.rules import interval_finding, ks_finding
from ecd_tune.lab.setups import column, part, place, x_of
from ecd_tune.lab.simulator import Averages, Simulator
from ecd_tune.theory import Array, effective_eta, effective_eta_leading

__all__ = [
    "CHECKS",
    "KS_RULE",
    "Case",
    "beta_law",
    "check_beta_law",
    "check_effective_eta",
    "harmonic_finding",
    "measure_law",
    "settings",
    "split_cases",
]

_Roots = Mapping[tuple[int, float], tuple[float, ...]]
_SETTINGS: Mapping[str, tuple[float, float, _Roots]] = {
    "sync": (0.03, 0.5, {(20, 2.0): (0.3, 1.0, 3.0), (10, 1.5): (0.3, 1.0, 3.0)}),
    "algorithm1": (0.1, 0.25, {(20, 2.0): (3.0, 10.0), (10, 1.5): (3.0,)}),
}
"""By integrator: Δt, the share that is burn-in, and ν√n by n and η."""
_HARMONIC = 0.02


@dataclass(frozen=True)
class Case:
    """Chains of one setting.

    Attributes:
        name: The setting.
        final: The last x of each chain.
        average: The mean x of each chain after the burn-in.
        skipped: Share of skipped steps.
    """

    name: str
    final: Array
    average: Array
    skipped: float


def split_cases(record: Averages, names: Sequence[str], chains: int) -> list[Case]:
    """Split the rows of a run into its settings.

    Args:
        record: Of a run whose observable ``x`` was averaged.
        names: One a setting.
        chains: Rows of each.

    Returns:
        One case per setting.
    """
    final, average = x_of(record.last), record.means["x"]
    return [
        Case(name, part(final, i, chains), part(average, i, chains), record.skipped)
        for i, name in enumerate(names)
    ]


def measure_law(
    sim: Simulator, integrator: str, chains: int = 600, steps: int | None = None
) -> list[Case]:
    """Run isotropic basins, s = 0.

    Args:
        sim: Where to run.
        integrator: ``"algorithm1"`` or ``"sync"``.
        chains: Chains of each setting.
        steps: Steps; 8000 of Algorithm 1 by default, else 6000.

    Returns:
        One case per setting, in the order of :func:`settings`.
    """
    lr, burn, basins = _SETTINGS[integrator]
    steps = steps or (8000 if integrator == "algorithm1" else 6000)
    found: list[Case] = []
    for (n, eta), roots in basins.items():
        rng = sim.rng(f"law {integrator} {n}")
        nus = column(chains, *roots) / math.sqrt(n)
        setup = place(isotropic(n), rng, len(nus), n, lr=lr, eta=eta, nu=nus, integrator=integrator)
        record = sim.average(setup, steps, rng, int(burn * steps), x=x_of)
        names = [f"n={n} η={eta:g} ν√n={root:g}" for root in roots]
        found += split_cases(record, names, chains)
    return found


def settings(integrator: str) -> list[tuple[int, float, float]]:
    """Return n, η and ν of the cases of :func:`measure_law`."""
    basins = _SETTINGS[integrator][2]
    return [(n, eta, root / math.sqrt(n)) for (n, eta), roots in basins.items() for root in roots]


def _measure_anisotropic(sim: Simulator, chains: int = 1000, steps: int = 8000) -> Case:
    n, rng = 20, sim.rng("law anisotropic")
    landscape = Quadratic(np.geomspace(0.5, 2.0, n))
    setup = place(landscape, rng, chains, n, lr=0.03, eta=2.0, nu=0.5 / math.sqrt(n))
    record = sim.average(setup, steps, rng, steps // 2, x=x_of)
    return split_cases(record, ["n=20 η=2 F2=0.5…2 ν√n=0.5"], chains)[0]


def beta_law(n: int, eta: float) -> Any:
    """Return the law (4) of s = 0, without its Basin, so that wrong η can be tried."""
    return stats.beta(n / 2, (eta - 1) * n / 2)


def check_beta_law(cases: Sequence[Case]) -> list[Finding]:
    """Compare chains of sync with the Beta law.

    Args:
        cases: All those of :func:`measure_law`, in order.

    Returns:
        One finding per case.
    """
    return [
        ks_finding(case.name, case.final, beta_law(n, eta), len(cases), case.skipped)
        for case, (n, eta, _) in zip(cases, settings("sync"), strict=True)
    ]


def harmonic_finding(case: Case, target: float, tolerance: float) -> Finding:
    """Compare 1/E[x] with a prediction.

    Args:
        case: The chains.
        target: The predicted exponent.
        tolerance: Half width of the allowed range.

    Returns:
        The finding.
    """
    estimate = jackknife(lambda x: 1.0 / float(np.mean(x)), case.average)
    return interval_finding(case.name, "1/mean x", estimate, target, tolerance, case.skipped)


def check_effective_eta(
    cases: Sequence[Case], predict: Callable[[float, int, float], float]
) -> list[Finding]:
    """Compare 1/E[x] under Algorithm 1 with a prediction.

    Args:
        cases: Those of :func:`measure_law`.
        predict: From η, n and ν to the prediction.

    Returns:
        One finding per case.
    """
    return [
        harmonic_finding(case, float(predict(eta, n, nu)), _HARMONIC * eta)
        for case, (n, eta, nu) in zip(cases, settings("algorithm1"), strict=True)
    ]


def _check_anisotropic(sim: Simulator) -> list[Finding]:
    case = _measure_anisotropic(sim)
    return [
        ks_finding(case.name, case.final, beta_law(20, 2.0), 1, case.skipped),
        harmonic_finding(case, 2.0, _HARMONIC * 2.0),
    ]


KS_RULE = "K on final states, p times the number of cases"
_LAW = "x ~ Beta(n/2, (η−1)n/2) under sync at any ν"

CHECKS = (
    Check(
        "C04",
        Relation(_LAW, "eq. 4"),
        KS_RULE,
        lambda sim: check_beta_law(sim.cached(measure_law, "sync")),
        family="law s=0",
        seconds=20.0,
    ),
    Check(
        "C05",
        Relation("the same Beta law in an anisotropic basin; E[x] = 1/η", "eq. 4, theory: law"),
        f"{KS_RULE}; R, η ± {_HARMONIC}η for 1/mean x",
        _check_anisotropic,
        family="law anisotropic",
        seconds=8.0,
    ),
    Check(
        "C07",
        Relation(
            "Algorithm 1 samples the law of η_eff = (2η/(1+λ))(1−(1−λ)/n)", "theory: Algorithm 1"
        ),
        f"R, η_eff ± {_HARMONIC}η for 1/mean x",
        lambda sim: check_effective_eta(sim.cached(measure_law, "algorithm1"), effective_eta),
        family="law algorithm1",
        seconds=15.0,
    ),
    Check(
        "N03",
        Relation("Algorithm 1 samples the Beta law of η itself", "eq. 4 read for Algorithm 1"),
        KS_RULE,
        lambda sim: [
            ks_finding(case.name, case.final, beta_law(20, 2.0), 1, case.skipped)
            for case in sim.cached(measure_law, "algorithm1")[:1]
        ],
        expects=Verdict.REFUTED,
        family="law algorithm1",
    ),
    Check(
        "N04",
        Relation("η_eff = 2η/(1+λ) at small n", "theory: Algorithm 1, leading order"),
        f"R, 2η/(1+λ) ± {_HARMONIC}η for 1/mean x",
        lambda sim: check_effective_eta(
            sim.cached(measure_law, "algorithm1"), effective_eta_leading
        )[-1:],
        expects=Verdict.REFUTED,
        family="law algorithm1",
    ),
)
