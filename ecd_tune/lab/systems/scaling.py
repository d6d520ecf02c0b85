"""C16 to C18 and N10: how the loss that is reached depends on η and on F0."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import jackknife
from ecd_tune.lab.landscapes import Quadratic, isotropic
from ecd_tune.lab.rules import interval_finding
from ecd_tune.lab.setups import column, place
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.trajectory import ChainSetup, Moment
from ecd_tune.theory import Array

__all__ = ["CHECKS"]

_N, _CHAINS = 50, 64
_COLLAPSE_ROOT = 0.3
"""At ν√n = 0.1 the last octaves still carry 5 % of the ballistic beginning, gap ∝ N^−2/(η−1)."""
_ROOT = 0.1
_ETAS = (1.25, 1.5, 2.0, 3.0, 4.0)
_COLLAPSE = ((2.0, 256), (3.0, 64), (4.0, 64))
"""η, chains: more where the gap falls faster and varies more."""
_COLLAPSE_STEPS, _OCTAVES = 20_000, 4
_STEP_SIZES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def _gap(moment: Moment) -> Array:
    return moment.loss - 1.0


def _slope(x: Array, y: Array) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _bowl(rng: np.random.Generator, etas: Array, lr: float | Array, F0: Array) -> ChainSetup:
    """Start sync on the bowl with F2_i from 0.1 to 1 at normal draws."""
    landscape = Quadratic(np.geomspace(0.1, 1.0, _N))
    setup = place(landscape, rng, len(etas), _N, lr=lr, eta=etas, F0=F0, nu=_ROOT / _N**0.5)
    # The same starts for every setting, so that nothing else differs.
    theta = np.tile(rng.standard_normal((_CHAINS, _N)), (len(etas) // _CHAINS, 1))
    return ChainSetup(**{**vars(setup), "theta": theta})


def _tail_gaps(sim: Simulator, name: str, F0: float) -> Array:
    """Return the mean gap of the last 60 % of 4000 steps, ``[chains, η]``."""
    rng, etas = sim.rng(name), column(_CHAINS, *_ETAS)
    setup = _bowl(rng, etas, 1.0, np.full(len(etas), F0))
    gaps = sim.average(setup, 4000, rng, 1600, gap=_gap).means["gap"]
    return gaps.reshape(len(_ETAS), _CHAINS).T


def _check_direction(sim: Simulator) -> list[Finding]:
    gaps = _tail_gaps(sim, "eta direction", 0.0)
    scale = np.log(np.array(_ETAS) - 1 - 2 / _N)
    estimate = jackknife(lambda rows: _slope(scale, np.log(rows.mean(axis=0))), gaps)
    case = f"n={_N} F2=0.1…1 Δt=1 η=1.25…4"
    return [interval_finding(case, "slope on log(η−1−2/n)", estimate, -1.0, 0.1)]


def _check_sign(sim: Simulator) -> list[Finding]:
    gaps = _tail_gaps(sim, "eta sign", 1.0)[:, 2:]
    etas = np.array(_ETAS[2:])
    estimate = jackknife(lambda rows: _slope(etas, np.log(rows.mean(axis=0))), gaps)
    case = f"n={_N} F2=0.1…1 Δt=1 η=2, 3, 4 Fmin=F0"
    # Any negative slope is allowed: rule R with an interval that is wide enough.
    finding = interval_finding(case, "slope of log gap on η", estimate, -500.0, 500.0)
    return [replace(finding, predicted=0.0, sense="≤")]


def _measure_collapse(sim: Simulator) -> tuple[Array, Array]:
    """Return η of each chain, and its mean log gap over the last octaves, ``[B, octaves]``."""
    rng = sim.rng("collapse")
    etas = np.concatenate([column(chains, eta) for eta, chains in _COLLAPSE])
    nu = _COLLAPSE_ROOT / math.sqrt(_N)
    setup = place(isotropic(_N), rng, len(etas), _N, lr=0.1, eta=etas, nu=nu, F0=1.0)
    sums, counts = np.zeros((len(etas), _OCTAVES)), np.zeros(_OCTAVES)
    for moment in sim.run(setup, _COLLAPSE_STEPS, rng):
        age = math.floor(math.log2(_COLLAPSE_STEPS / (moment.t + 1)))
        if age < _OCTAVES:
            sums[:, -1 - age] += np.log(_gap(moment))
            counts[-1 - age] += 1
    return etas, sums / counts


def _check_collapse(sim: Simulator) -> list[Finding]:
    etas, means = _measure_collapse(sim)
    octaves, found = np.arange(_OCTAVES, dtype=np.float64) * math.log(2.0), []
    for eta, _ in _COLLAPSE:
        estimate = jackknife(lambda rows: _slope(octaves, rows.mean(axis=0)), means[etas == eta])
        case = f"n={_N} η={eta:g} ν√n={_COLLAPSE_ROOT} Fmin=F0"
        found.append(
            interval_finding(case, "slope of log gap on log N", estimate, -1 / (eta - 1), 0.05)
        )
    return found


def _check_offset_gain(sim: Simulator) -> list[Finding]:
    rng, count = sim.rng("offset gain"), len(_STEP_SIZES)
    offsets = column(count * _CHAINS, 0.0, 0.99)
    lr = np.tile(column(_CHAINS, *_STEP_SIZES), 2)
    setup = _bowl(rng, np.full(len(lr), 2.0), lr, offsets)
    gaps = sim.average(setup, 5000, rng, 2000, gap=_gap).means["gap"]
    table = gaps.reshape(2, count, _CHAINS).transpose(2, 0, 1)
    best = table.mean(axis=0).argmin(axis=1)

    def ratio(rows: Array) -> float:
        means = rows.mean(axis=0)
        return float(means[0, best[0]] / means[1, best[1]])

    sizes = " and ".join(f"{_STEP_SIZES[i]:g}" for i in best)
    case = f"n={_N} F2=0.1…1 η=2, F0=0 and 0.99 at Δt={sizes}"
    return [interval_finding(case, "gap ratio", jackknife(ratio, table), 100.0, 15.0)]


CHECKS = (
    Check(
        "C16",
        Relation(
            "larger η lowers the plateau as 1/(η−1−2/n) when Fmin > F0", "§2, theory: η and F0"
        ),
        "R, −1 ± 0.1 for the slope of log gap",
        _check_direction,
        family="scaling",
        seconds=20.0,
    ),
    Check(
        "C17",
        Relation("gap ∝ N^(−1/(η−1)) when Fmin = F0: larger η is slower", "theory: η and F0"),
        "R, −1/(η−1) ± 0.05 for the slope of log gap on log N, last four octaves",
        _check_collapse,
        family="scaling",
    ),
    Check(
        "C18",
        Relation("raising F0 to 0.99 Fmin lowers the plateau 100-fold at retuned Δt", "eq. 7"),
        "R, 100 ± 15 for the ratio of gaps, each at its best of six Δt",
        _check_offset_gain,
        family="scaling",
    ),
    Check(
        "N10",
        Relation("larger η always lowers the loss", "§2 read for Fmin = F0"),
        "the slope of log gap on η is negative, 95 % interval",
        _check_sign,
        expects=Verdict.REFUTED,
        family="scaling",
    ),
)
