"""C13, C14, N07 and N08: the chaos strength that decorrelates fastest.

The time that decorrelates is measured without a window: the variance over chains and coordinates
of the mean of θ_i² over 60 orbits, divided by the variance of θ_i² itself, is the integrated
autocorrelation time in units of the run. Chains start from exact draws, so that nothing is
burnt in. ν*√n is the minimum of a parabola in log ν.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import Estimate, jackknife
from ecd_tune.lab.landscapes import Quadratic, directions
from ecd_tune.lab.rules import interval_finding
from ecd_tune.lab.setups import column
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.trajectory import ChainSetup
from ecd_tune.theory import Array, Basin

__all__ = ["CHECKS"]

_ROOTS = np.geomspace(0.02, 3.0, 10)
_CHAINS, _ORBITS = 16, 60


@dataclass(frozen=True)
class _Setting:
    """A basin with Fmin = 1, F0 = 0, F_init = 4, s = 0, and the steps of an orbit."""

    name: str
    n: int
    eta: float
    curvature: Array
    steps_per_orbit: tuple[int, ...]

    @property
    def basin(self) -> Basin:
        """With the geometric mean of the curvatures."""
        F2 = float(np.exp(np.mean(np.log(self.curvature))))
        return Basin(self.n, self.eta, 1.0, 0.0, F2, 4.0, 0, 1.0)

    @property
    def alphas(self) -> Array:
        """The orbit steps α* = 2πΔt/T."""
        return 2 * np.pi / np.array(self.steps_per_orbit, dtype=np.float64)

    def predicted(self, variant: str) -> Array:
        """Return ν*√n at each step size."""
        lr = self.basin.lr_for_orbit_step(self.alphas)
        return np.asarray(self.basin.nu_star(lr, variant)) * math.sqrt(self.n)


_SETTINGS = (
    _Setting("n=100 η=2 isotropic", 100, 2.0, np.ones(100), (320, 160, 80, 40, 20, 10)),
    _Setting("n=50 η=3 F2=0.1…1", 50, 3.0, np.geomspace(0.1, 1.0, 50), (160, 80, 40, 20, 10)),
)


def _exact_draws(setting: _Setting, rng: np.random.Generator, rows: int) -> Array:
    x = setting.basin.gap_law().rvs((rows, 1), random_state=rng)
    return np.asarray(directions(rng, rows, setting.n) * np.sqrt(x / (1 - x) / setting.curvature))


def _correlation_times(sim: Simulator, setting: _Setting, steps: int) -> Array:
    """Return sums that make the autocorrelation time of θ_i², ``[chains, roots, 2]``.

    The last axis has the squared deviation of the run's mean, and that of θ_i² itself.
    """
    rng, rows = sim.rng(f"nu star {setting.name} {steps}"), _CHAINS * len(_ROOTS)
    basin = setting.basin
    setup = ChainSetup(
        Quadratic(setting.curvature),
        _exact_draws(setting, rng, rows),
        directions(rng, rows, setting.n),
        lr=float(basin.lr_for_orbit_step(2 * np.pi / steps)),
        eta=setting.eta,
        nu=column(_CHAINS, *_ROOTS) / math.sqrt(setting.n),
        log_energy=float(basin.log_energy),
    )
    total, squared = np.zeros((rows, setting.n)), np.zeros((rows, setting.n))
    every = max(1, steps // 40)
    for moment in sim.run(setup, _ORBITS * steps, rng):
        if moment.t % every == 0:
            square = moment.theta**2
            total += square
            squared += square**2
    count = -(-_ORBITS * steps // every)
    average = total / count
    centre = average.mean(axis=0)  # of each coordinate, over all chains
    deviation = ((average - centre) ** 2 / centre**2).mean(axis=1)
    spread = ((squared / count - 2 * average * centre + centre**2) / centre**2).mean(axis=1)
    table = np.stack([deviation, spread], axis=-1)
    return table.reshape(len(_ROOTS), _CHAINS, 2).transpose(1, 0, 2)


def _optimum(table: Array) -> float:
    """Return log(ν*√n), the minimum of a parabola through the smallest time in log–log."""
    sums = table.mean(axis=0)
    times = np.log(sums[:, 0] / sums[:, 1])
    at = int(np.clip(np.argmin(times), 2, len(times) - 3))
    near = slice(at - 2, at + 3)
    logs = np.log(_ROOTS)
    curve, slope, _ = np.polyfit(logs[near] - logs[at], times[near], 2)
    if curve <= 0:  # no minimum inside: the smallest itself
        return float(logs[np.argmin(times)])
    return float(logs[at] + np.clip(-slope / (2 * curve), -1.2, 1.2))


def _measure(sim: Simulator) -> list[Array]:
    """Return by setting the table ``[chains, levels, roots, 2]``."""
    return [
        np.stack(
            [_correlation_times(sim, setting, steps) for steps in setting.steps_per_orbit],
            axis=1,
        )
        for setting in _SETTINGS
    ]


def _optima(table: Array) -> Array:
    return np.array([_optimum(table[:, level]) for level in range(table.shape[1])])


def _exponent(setting: _Setting, optima: Array) -> float:
    return float(np.polyfit(np.log(setting.alphas), optima, 1)[0])


def check_value(sim: Simulator, variant: str, factor: float) -> list[Finding]:
    """Compare the median of optimum/ν* with 1, in logarithms.

    Args:
        sim: Where to run.
        variant: Of :meth:`ecd_tune.theory.Basin.nu_star`.
        factor: How far the median may be off.

    Returns:
        One finding per setting.
    """
    found = []
    for setting, table in zip(_SETTINGS, sim.cached(_measure), strict=True):
        target = np.log(setting.predicted(variant))

        def median(rows: Array, target: Array = target) -> float:
            return float(np.median(_optima(rows) - target))

        statistic = f"log median(optimum/ν*), {variant}"
        estimate = _grouped(median, table)
        found.append(interval_finding(setting.name, statistic, estimate, 0.0, math.log(factor)))
    return found


def _grouped(statistic: Callable[[Array], float], table: Array) -> Estimate:
    """Return a statistic of chains with its error from four groups of chains.

    The jackknife fails for medians; groups do not.

    Args:
        statistic: Of a table whose first axis runs over chains.
        table: The table.

    Returns:
        The statistic of all and its standard error.
    """
    groups = [statistic(table[start::4]) for start in range(4)]
    return Estimate(statistic(table), float(np.std(groups, ddof=1)) / 2.0, 4)


def check_exponent(sim: Simulator, target: float | None, tolerance: float) -> list[Finding]:
    """Compare the exponent of the optimum in Δt with a prediction.

    Args:
        sim: Where to run.
        target: The predicted exponent; None is that of ν* on the same step sizes.
        tolerance: Half width of the allowed range.

    Returns:
        One finding per setting.
    """
    found = []
    for setting, table in zip(_SETTINGS, sim.cached(_measure), strict=True):

        def exponent(rows: Array, setting: _Setting = setting) -> float:
            return _exponent(setting, _optima(rows))

        goal = _exponent(setting, np.log(setting.predicted("orbit"))) if target is None else target
        estimate = jackknife(exponent, table)
        statistic = "exponent of ν*√n in Δt"
        found.append(interval_finding(setting.name, statistic, estimate, goal, tolerance))
    return found


def _check_limits(sim: Simulator) -> list[Finding]:
    """Compare formulas with formulas; nothing is run."""
    steep = Basin(1e8, 2.0, 1.0, 0.0, 1.0, 1e4)
    flat = Basin(1e8, 1.0, 1.0, 0.5, 1.0, 1e15)
    small = math.sqrt(2 * float(steep.orbit_step(1e-3)))
    ratios = [
        ("coherent/(26)", 2.0, steep.nu_star(1e-3, "coherent") / steep.nu_star(1e-3, "paper_eq26")),
        ("coherent/(27)", 2.0, flat.nu_star(1.0, "coherent") / flat.nu_star(1.0, "paper_eq27")),
        ("ν*√n/√(2α*)", 1.0, steep.nu_star(1e-3) * 1e4 / small),
    ]
    return [
        interval_finding("n=1e8", name, Estimate(ratio, 0.0, 2), target, 0.001)
        for name, target, ratio in ratios
    ]


CHECKS = (
    Check(
        "C13",
        Relation("(26) and (27) are half of (24)–(25) with the right speed", "eq. 24 to 27"),
        "R, 2, 2 and 1, each ± 0.001; formulas only",
        _check_limits,
        family="nu star",
    ),
    Check(
        "C14",
        Relation("ν*√n = √(e^{2α*}−1) decorrelates fastest; its exponent in Δt", "theory: ν*"),
        "R, median within a factor 1.5; exponent that of ν* ± 0.16",
        lambda sim: check_value(sim, "orbit", 1.5) + check_exponent(sim, None, 0.16),
        family="nu star",
        seconds=60.0,
    ),
    Check(
        "N07",
        Relation("(26) is the optimum of ν", "eq. 26, wrong"),
        "R, median of optimum/(26) within a factor 2",
        partial(check_value, variant="paper_eq26", factor=2.0),
        expects=Verdict.REFUTED,
        family="nu star",
    ),
    Check(
        "N08",
        Relation("ν* is proportional to Δt", "eq. 26, wrong"),
        "R, exponent 1 ± 0.12",
        partial(check_exponent, target=1.0, tolerance=0.12),
        expects=Verdict.REFUTED,
        family="nu star",
    ),
)
