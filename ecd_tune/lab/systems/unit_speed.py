"""C21 to C23, N14 and N15: ECD at unit speed, its law and its scalar product."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import bound_finding, mean
from ecd_tune.lab.landscapes import Quadratic, directions, isotropic
from ecd_tune.lab.rules import interval_finding, ks_finding
from ecd_tune.lab.setups import START_RADIUS, column, place, x_of
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.systems.law import Case, beta_law, harmonic_finding, split_cases
from ecd_tune.lab.trajectory import Landscape
from ecd_tune.theory import Array, effective_eta, unit_speed_eta

__all__ = ["CHECKS", "check_law", "measure_law", "measure_tensors", "share_of_tensors"]

_N = 24
_LR = 0.1
_SYNC = ((_N, 1.5, 0.5, _LR), (_N, 2.0, 0.5, _LR), (_N, 4.0, 0.5, _LR), (_N, 2.0, 3.0, 0.25))
_ALGORITHM1 = ((_N, 1.5, 0.5, _LR), (_N, 2.0, 3.0, 0.25), (_N, 4.0, 1.0, _LR), (10, 1.5, 3.0, 0.25))
"""n, η, ν̂ and Δt̂, longer where turns are large and diffusion slow."""
_TOLERANCE = 0.02

_FLOWS = ("exact", "first_order")
_SPLIT_CHAINS, _SPLIT_STEPS = 500, 200

_ETAS = (1.5, 2.0, 4.0)
_NU = 0.5
_TENSOR_TOLERANCE = 0.03


def _landscape(n: int) -> Landscape:
    return Quadratic(np.geomspace(0.5, 2.0, n))


# ------------------------------------------------------------------------ the law


def measure_law(
    sim: Simulator, integrator: str, chains: int = 600, steps: int = 3000
) -> list[tuple[Case, int, float, float]]:
    """Run ECDq1 with the exact flow on quadratics.

    Args:
        sim: Where to run.
        integrator: ``"algorithm1"`` or ``"sync"``.
        chains: Chains of each setting.
        steps: Steps; the last two thirds are averaged.

    Returns:
        A case with its n, η and ν for each setting.
    """
    found = []
    for n, eta, root, lr in _SYNC if integrator == "sync" else _ALGORITHM1:
        name = f"{integrator} n={n} η={eta:g} ν̂={root:g} F2=0.5…2"
        rng = sim.rng(f"unit speed {name}")
        setup = place(
            _landscape(n),
            rng,
            chains,
            n,
            lr=lr,
            eta=eta,
            nu=root,
            integrator=integrator,
            flow="exact",
        )
        record = sim.average(setup, steps, rng, steps // 3, x=x_of)
        found.append((split_cases(record, [name], chains)[0], n, eta, root / math.sqrt(n)))
    return found


def check_law(
    sim: Simulator,
    integrator: str,
    predict: Callable[[float, int, float, str], Any],
    which: slice = slice(None),
) -> list[Finding]:
    """Compare x = (F−Fmin)/(F−F0) with the Beta law of an exponent.

    Args:
        sim: Where to run.
        integrator: ``"algorithm1"`` or ``"sync"``.
        predict: From η, n, ν and the integrator to the exponent.
        which: Settings; all by default.

    Returns:
        Two findings a setting.
    """
    chosen = sim.cached(measure_law, integrator)[which]
    found = []
    for case, n, eta, nu in chosen:
        target = float(predict(eta, n, nu, integrator))
        found += [
            ks_finding(case.name, case.final, beta_law(n, target), len(chosen), case.skipped),
            harmonic_finding(case, target, _TOLERANCE * eta),
        ]
    return found


# -------------------------------------------------------------- the scalar product


def _check_cuts(sim: Simulator) -> list[Finding]:
    """Run the same chains with 24 numbers as one tensor and as 24."""
    found = []
    for flow in _FLOWS:
        for integrator in ("algorithm1", "sync"):
            runs = []
            for cuts in ((), tuple(range(1, _N))):
                rng = sim.rng(f"cuts {flow} {integrator}")
                setup = place(
                    _landscape(_N),
                    rng,
                    _SPLIT_CHAINS,
                    _N,
                    lr=_LR,
                    eta=2.0,
                    nu=_NU,
                    integrator=integrator,
                    flow=flow,
                    cuts=cuts,
                )
                moments = sim.run(setup, _SPLIT_STEPS, rng)
                runs.append([moment.theta for moment in moments])
            one, many = np.array(runs)
            distance = np.linalg.norm(many - one, axis=-1) / np.linalg.norm(one, axis=-1)
            largest = float(distance.max())
            case = f"p·g over all of them, {integrator} {flow}, {_N} tensors against one"
            found.append(bound_finding(case, "max |ΔΘ|/|Θ|", largest, 0.0, largest, distance.size))
    return found


def measure_tensors(
    sim: Simulator, tensors: int, chains: int = 1000, steps: int = 4000
) -> dict[float, Array]:
    """Run the step of the authors' public code, whose p·g runs over each tensor by itself.

    Args:
        sim: The seed.
        tensors: How many the 24 numbers are.
        chains: Chains of each η.
        steps: Steps; a sixth is burn-in.

    Returns:
        η to F − Fmin of each chain, averaged, in units of the prediction of the law of η_eff.
    """
    rng, eta = sim.rng(f"tensors {tensors}"), column(chains, *_ETAS)[:, None]
    landscape, dt, burn = isotropic(_N), _LR / np.sqrt(eta), steps // 6
    p = directions(rng, len(eta), _N)
    theta, total = START_RADIUS * directions(rng, len(eta), _N), np.zeros(len(eta))
    for step in range(steps):
        loss, g = landscape(theta)
        if step >= burn:
            total += loss - 1
        products = (p * g).reshape(len(p), tensors, -1).sum(axis=2)
        along = np.repeat(products, _N // tensors, axis=1)
        p = p - 0.5 * dt * eta * _N / (_N - 1) * (g - p * along) / loss[:, None]
        p /= np.linalg.norm(p, axis=1, keepdims=True)
        theta = theta + dt * p
        p = p + _NU / math.sqrt(_N) * rng.standard_normal(p.shape)
        p /= np.linalg.norm(p, axis=1, keepdims=True)
    gaps = (total / (steps - burn)).reshape(len(_ETAS), chains)
    return {eta: row / _plateau(_effective(eta)) for eta, row in zip(_ETAS, gaps, strict=True)}


def share_of_tensors(tensors: int, n: int = _N) -> float:
    """Return what becomes of η where p·g runs over each of so many equal tensors by itself.

    With p in any direction alike, the kick g_i − p_i (p·g of i's tensor of k numbers), once |p| is
    1 again, has the mean g_i (n²+k−2)/(n(n+2)), where the right one has g_i (n−1)/n.

    Args:
        tensors: Number of tensors.
        n: Numbers in all of them.

    Returns:
        (n²+k−2)/((n−1)(n+2)), 1 for one tensor.
    """
    return (n * n + n / tensors - 2) / ((n - 1) * (n + 2))


def _effective(eta: float) -> float:
    return float(unit_speed_eta(eta, _N, _NU / math.sqrt(_N)))


def _plateau(eta: float) -> float:
    return _N / ((eta - 1) * _N - 2)


def _check_tensors(sim: Simulator, tensors: int, share: float) -> list[Finding]:
    """Compare the mean gap with that of ``share`` times η_eff, over that of η_eff itself."""
    return [
        interval_finding(
            f"p·g of each of {tensors} tensors, n={_N} η={eta:g} ν̂={_NU}",
            "gap/law",
            mean(ratios),
            _plateau(share * _effective(eta)) / _plateau(_effective(eta)),
            _TENSOR_TOLERANCE,
        )
        for eta, ratios in sim.cached(measure_tensors, tensors).items()
    ]


_RULE = f"K on final states, p times the number of cases; R, η_eff ± {_TOLERANCE}η for 1/mean x"

CHECKS = (
    Check(
        "C21",
        Relation("unit speed: x ~ Beta(n/2, (η−1)n/2) under sync at any ν̂", "theory: unit speed"),
        _RULE,
        partial(check_law, integrator="sync", predict=unit_speed_eta),
        family="unit speed sync",
        seconds=15.0,
    ),
    Check(
        "C22",
        Relation(
            "unit speed: kick, drift, turn samples with η_eff = 2η/(1+λ)", "theory: unit speed"
        ),
        _RULE,
        partial(check_law, integrator="algorithm1", predict=unit_speed_eta),
        family="unit speed algorithm1",
        seconds=15.0,
    ),
    Check(
        "C23",
        Relation(
            "p·g over all parameters does not know how they are cut into tensors; over each tensor "
            "of k it samples with η_eff (n²+k−2)/((n−1)(n+2))",
            "theory: unit speed",
        ),
        "B: paths differ by 1e-9 at most in at least 1e5 chain-steps; "
        f"R, predicted ± {_TENSOR_TOLERANCE} for gap/law",
        lambda sim: (
            _check_cuts(sim)
            + _check_tensors(sim, 1, 1.0)
            + _check_tensors(sim, _N, share_of_tensors(_N))
        ),
        family="unit speed tensors",
        seconds=20.0,
    ),
    Check(
        "N14",
        Relation(
            "unit speed: η_eff = (2η/(1+λ))(1−(1−λ)/n), as ECDSep has it", "theory: Algorithm 1"
        ),
        _RULE,
        partial(check_law, integrator="algorithm1", predict=effective_eta, which=slice(-1, None)),
        expects=Verdict.REFUTED,
        family="unit speed algorithm1",
    ),
    Check(
        "N15",
        Relation(
            "unit speed: p·g of each tensor by itself samples the law all the same",
            "public code of 2601.22257",
        ),
        f"R, 1 ± {_TENSOR_TOLERANCE} for gap/law",
        partial(_check_tensors, tensors=_N, share=1.0),
        expects=Verdict.REFUTED,
        family="unit speed tensors",
    ),
)
