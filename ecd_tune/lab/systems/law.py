"""C04, C05, C07, N03 and N04: the stationary law of x = (F−Fmin)/(F−F0), for s = 0.

Fmin = 1 and F0 = 0 in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import Estimate, interval_finding, jackknife, ks_finding
from ecd_tune.lab.bench import Bench, Record
from ecd_tune.lab.landscapes import Quadratic, isotropic
from ecd_tune.lab.setups import column, part, place, x_of
from ecd_tune.theory import Array, effective_eta, effective_eta_leading

__all__ = [
    "CHECKS",
    "KS_RULE",
    "Case",
    "beta_law",
    "check_beta_law",
    "check_effective_eta",
    "measure_algorithm1",
    "measure_sync",
    "split_cases",
]

_SYNC = ((20, 2.0), (10, 1.5))
_SYNC_ROOTS = (0.3, 1.0, 3.0)
_ALGORITHM1 = ((20, 2.0, 3.0), (20, 2.0, 10.0), (10, 1.5, 3.0))
"""n, η, ν√n."""
_HARMONIC = 0.02


@dataclass(frozen=True)
class Case:
    """Chains of one setting: final x of each, and its mean over the second part of the run."""

    name: str
    final: Array
    average: Array
    skipped: float


def split_cases(record: Record, names: Sequence[str], chains: int) -> list[Case]:
    """Split the rows of a run into its settings.

    Args:
        record: Of a run whose observable ``x`` was averaged.
        names: One a setting.
        chains: Rows of each.

    Returns:
        One case a setting.
    """
    final, average = x_of(record.last), record.means["x"]
    return [
        Case(name, part(final, i, chains), part(average, i, chains), record.skipped)
        for i, name in enumerate(names)
    ]


def measure_sync(bench: Bench, chains: int = 600, steps: int = 6000) -> list[Case]:
    """Run sync on isotropic basins, s = 0.

    Args:
        bench: Where to run.
        chains: Chains of each setting.
        steps: Steps; the second half is averaged.

    Returns:
        One case a setting, in the order of n, then ν√n.
    """
    found: list[Case] = []
    for n, eta in _SYNC:
        rng = bench.rng(f"law sync {n}")
        nus = column(chains, *_SYNC_ROOTS) / math.sqrt(n)
        setup = place(isotropic(n), rng, len(nus), n, lr=0.03, eta=eta, nu=nus)
        record = bench.follow(setup, steps, rng, steps // 2, x=x_of)
        names = [f"n={n} η={eta:g} ν√n={root:g}" for root in _SYNC_ROOTS]
        found += split_cases(record, names, chains)
    return found


def _measure_anisotropic(bench: Bench, chains: int = 1000, steps: int = 8000) -> Case:
    n, rng = 20, bench.rng("law anisotropic")
    landscape = Quadratic(np.geomspace(0.5, 2.0, n))
    setup = place(landscape, rng, chains, n, lr=0.03, eta=2.0, nu=0.5 / math.sqrt(n))
    record = bench.follow(setup, steps, rng, steps // 2, x=x_of)
    return split_cases(record, ["n=20 η=2 F2=0.5…2 ν√n=0.5"], chains)[0]


def measure_algorithm1(bench: Bench, chains: int = 600, steps: int = 8000) -> list[Case]:
    """Run Algorithm 1 on isotropic basins, s = 0.

    Args:
        bench: Where to run.
        chains: Chains of each setting.
        steps: Steps; the last three quarters are averaged.

    Returns:
        One case a setting.
    """
    found: list[Case] = []
    for n, eta in _SYNC:
        settings = [row for row in _ALGORITHM1 if row[0] == n]
        rng = bench.rng(f"law algorithm1 {n}")
        nus = column(chains, *(root for _, _, root in settings)) / math.sqrt(n)
        setup = place(
            isotropic(n), rng, len(nus), n, lr=0.1, eta=eta, nu=nus, integrator="algorithm1"
        )
        record = bench.follow(setup, steps, rng, steps // 4, x=x_of)
        names = [f"n={n} η={eta:g} ν√n={root:g}" for _, _, root in settings]
        found += split_cases(record, names, chains)
    return found


def beta_law(n: int, eta: float) -> Any:
    """Return the law (4) of s = 0, without its Basin, so that wrong η can be tried."""
    return stats.beta(n / 2, (eta - 1) * n / 2)


def check_beta_law(cases: Sequence[Case]) -> list[Finding]:
    """Compare chains of :func:`measure_sync` with the Beta law.

    Args:
        cases: All of them, in order.

    Returns:
        One finding a case.
    """
    laws = [beta_law(n, eta) for n, eta in _SYNC for _ in _SYNC_ROOTS]
    return [
        ks_finding(case.name, case.final, law, len(cases), case.skipped)
        for case, law in zip(cases, laws, strict=True)
    ]


def _inverse_mean(average: Array) -> float:
    return 1.0 / float(np.mean(average))


def _harmonic(case: Case) -> Estimate:
    return jackknife(_inverse_mean, case.average)


def check_effective_eta(
    cases: Sequence[Case], predict: Callable[[float, int, float], float]
) -> list[Finding]:
    """Compare 1/E[x] under Algorithm 1 with a prediction.

    Args:
        cases: Those of :func:`measure_algorithm1`.
        predict: From η, n and ν to the prediction.

    Returns:
        One finding a case.
    """
    found = []
    for case, (n, eta, root) in zip(cases, _ALGORITHM1, strict=True):
        target = predict(eta, n, root / math.sqrt(n))
        estimate = _harmonic(case)
        found.append(
            interval_finding(case.name, "1/mean x", estimate, target, _HARMONIC * eta, case.skipped)
        )
    return found


def _sync(bench: Bench) -> list[Case]:
    return bench.once("law sync", measure_sync)


def _algorithm1(bench: Bench) -> list[Case]:
    return bench.once("law algorithm1", measure_algorithm1)


def _check_anisotropic(bench: Bench) -> list[Finding]:
    case = _measure_anisotropic(bench)
    return [
        ks_finding(case.name, case.final, beta_law(20, 2.0), 1, case.skipped),
        interval_finding(
            case.name, "1/mean x", _harmonic(case), 2.0, _HARMONIC * 2.0, case.skipped
        ),
    ]


KS_RULE = "K on final states, p times the number of cases"
_LAW = "x ~ Beta(n/2, (η−1)n/2) under sync at any ν"

CHECKS = (
    Check(
        "C04",
        Relation(_LAW, "eq. 4"),
        KS_RULE,
        lambda bench: check_beta_law(_sync(bench)),
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
        lambda bench: check_effective_eta(
            _algorithm1(bench), lambda eta, n, nu: float(effective_eta(eta, n, nu))
        ),
        family="law algorithm1",
        seconds=15.0,
    ),
    Check(
        "N03",
        Relation("Algorithm 1 samples the Beta law of η itself", "eq. 4 read for Algorithm 1"),
        KS_RULE,
        lambda bench: [
            ks_finding(case.name, case.final, beta_law(20, 2.0), 1, case.skipped)
            for case in _algorithm1(bench)[:1]
        ],
        expects=Verdict.REFUTED,
        family="law algorithm1",
    ),
    Check(
        "N04",
        Relation("η_eff = 2η/(1+λ) at small n", "theory: Algorithm 1, leading order"),
        f"R, 2η/(1+λ) ± {_HARMONIC}η for 1/mean x",
        lambda bench: check_effective_eta(
            _algorithm1(bench), lambda eta, n, nu: float(effective_eta_leading(eta, n, nu))
        )[-1:],
        expects=Verdict.REFUTED,
        family="law algorithm1",
    ),
)
