"""The checks of exact systems: correct on the working integrator, refuted on broken ones."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from ecd_tune.analysis.checks import Verdict
from ecd_tune.analysis.checks.model import combine
from ecd_tune.lab import Simulator, run_systems, system_checks
from ecd_tune.lab.systems import BUILT_IN, rotation, unit_speed
from ecd_tune.lab.systems.energy import check_order
from ecd_tune.lab.systems.law import (
    check_beta_law,
    check_effective_eta,
    measure_law,
)
from ecd_tune.lab.systems.mode import check_speed, measure_radius
from ecd_tune.lab.systems.rotation import check_cosines
from ecd_tune.lab.systems.virial import check_virial
from ecd_tune.optim import dynamics
from ecd_tune.optim.fused import cpu
from ecd_tune.optim.unit_speed import step as unit_step
from ecd_tune.theory import bounce_cosine, effective_eta, unit_speed_eta

TURNS = ("C01", "N06")
"""The longest; of the fused step in tests/optim/test_fused.py, and in the slow test of all."""
QUICK = ("C02", "C03", "N02", "C11", "C12", "N09", "N13", "C13")


def simulator(seed=7):
    return Simulator(seed)


def verdict(findings):
    return combine([finding.verdict for finding in findings])


@pytest.fixture(scope="module")
def shared_simulator():
    return simulator()


@pytest.fixture(scope="module")
def fused_simulator():
    if cpu.problem() is not None:
        pytest.skip("there is no compiled step")
    return Simulator(7, fused=True)


@pytest.mark.parametrize("name", TURNS + QUICK)
def test_quick_checks_are_as_expected(shared_simulator, name):
    result = BUILT_IN[name].run(shared_simulator)
    assert result.as_expected, result


@pytest.mark.parametrize("name", QUICK)
def test_quick_checks_with_the_fused_step_are_as_expected(fused_simulator, name):
    result = BUILT_IN[name].run(fused_simulator)
    assert result.as_expected, result


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fused", [False, True])
def test_all_checks_are_as_expected(fused):
    results = list(run_systems(system_checks(), 7, 2, fused=fused))
    assert len(results) == 38
    assert [result.id for result in results if not result.as_expected] == []


# ------------------------------------------------------- broken integrators


def speeds(factor):
    return verdict(check_speed([measure_radius(simulator(), 30, 2.0, 20, 300)], factor))


def test_without_the_factor_2_the_speed_is_refuted(monkeypatch):
    assert speeds(2.0) is Verdict.SUPPORTED
    whole = dynamics.drift_factor
    monkeypatch.setattr(dynamics, "drift_factor", lambda log_p, s: 0.5 * whole(log_p, s))
    assert speeds(2.0) is Verdict.REFUTED


@pytest.mark.slow
def test_without_the_factor_2_the_order_of_sync_is_refuted(monkeypatch):
    whole = dynamics.drift_factor
    monkeypatch.setattr(dynamics, "drift_factor", lambda log_p, s: 0.5 * whole(log_p, s))
    assert verdict(check_order(simulator(), "sync", 2.0)) is Verdict.REFUTED


def laws():
    cases = measure_law(simulator(), "algorithm1", chains=300, steps=4000)
    return verdict(check_effective_eta(cases, effective_eta))


@pytest.mark.slow  # with fewer samples the working integrator is not told from the broken one
def test_without_the_rescale_the_law_of_algorithm_1_is_refuted(monkeypatch):
    assert laws() is Verdict.SUPPORTED

    def leave(log_p, target, allowed, log_eps1):
        return log_p, torch.zeros_like(allowed)

    monkeypatch.setattr(dynamics, "rescale", leave)
    assert laws() is Verdict.REFUTED


def test_a_turn_of_half_the_strength_is_refuted(monkeypatch):
    # A tenth of the turns: enough for so gross an error.
    cases = [(n, count // 10) for n, count in rotation._CASES]
    monkeypatch.setattr(rotation, "_CASES", cases)

    def measure():
        return check_cosines(simulator(), lambda n, nu: float(bounce_cosine(n, nu)))

    whole = dynamics.turn
    monkeypatch.setattr(
        dynamics,
        "turn",
        lambda algebra, e, log_p, noise, nu: whole(algebra, e, log_p, noise, 0.5 * nu),
    )
    assert {finding.verdict for finding in measure()} == {Verdict.REFUTED}


def test_sync_in_the_order_of_algorithm_1_is_refuted(monkeypatch):
    whole = dynamics.advance
    monkeypatch.setattr(dynamics, "advance", lambda *a: whole(*a[:-1], "algorithm1"))
    assert verdict(check_order(simulator(), "sync", 2.0)) is Verdict.REFUTED


# ------------------------------------------------------------------ at unit speed


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_kicks_of_half_the_strength_have_another_law(monkeypatch, integrator):
    # A hundred chains of one setting are too few for K, and enough for so gross an error.
    for settings in ("_SYNC", "_ALGORITHM1"):
        monkeypatch.setattr(unit_speed, settings, ((24, 2.0, 0.5, 0.1),))
    monkeypatch.setattr(
        unit_speed, "measure_law", partial(unit_speed.measure_law, chains=100, steps=1200)
    )

    def measure():
        found = unit_speed.check_law(simulator(), integrator, unit_speed_eta)
        return {finding.verdict for finding in found if finding.statistic == "1/mean x"}

    assert Verdict.REFUTED not in measure()
    whole = unit_step.flow_exact
    half = np.log(2.0)
    monkeypatch.setattr(unit_step, "flow_exact", lambda *a: whole(*a[:-1], a[-1] - half))
    assert measure() == {Verdict.REFUTED}


def per_tensor(algebra, e, log_p, force, force_norm, log_delta):
    """The kick of the authors' code: p·g of each tensor by itself."""
    delta, p = log_delta.exp()[:, None], [b * log_p.exp()[:, None] for b in e]
    pushed = []
    for own, f in zip(p, force, strict=True):
        a = -f / force_norm[:, None]
        pushed.append(own + delta * (a - own * (a * own).sum(1, keepdim=True)))
    size = algebra.norm(pushed)
    return dynamics.unit(algebra, pushed, size), torch.log(size)


def test_a_scalar_product_of_each_tensor_is_refuted(monkeypatch):
    monkeypatch.setattr(unit_speed, "_SPLIT_CHAINS", 20)
    monkeypatch.setattr(unit_speed, "_SPLIT_STEPS", 20)
    few = unit_speed._check_cuts(simulator())
    assert {finding.verdict for finding in few} == {Verdict.INCONCLUSIVE}
    assert max(finding.measured for finding in few) < 1e-12
    monkeypatch.setattr(unit_step, "flow_first_order", per_tensor)
    found = unit_speed._check_cuts(simulator())
    assert [f.verdict is Verdict.REFUTED for f in found] == ["first_order" in f.case for f in found]


@pytest.mark.parametrize("tensors", [1, 6, 24])
def test_effect_of_tensors_on_the_mean_kick(tensors):
    """The mean over all directions of p, sampled: along the force, against that of one tensor."""
    n, rng = 24, np.random.default_rng(0)
    p = rng.standard_normal((400_000, n))
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    g = np.ones(n) / np.sqrt(n)
    along = np.repeat((p * g).reshape(len(p), tensors, -1).sum(2), n // tensors, axis=1)
    kick = g - p * along
    kick -= p * (p * kick).sum(1, keepdims=True)  # |p| is 1 again
    mean = (kick @ g).mean() / (1 - 1 / n)
    assert mean == pytest.approx(unit_speed.share_of_tensors(tensors), abs=1e-3)
    assert unit_speed.share_of_tensors(1) == 1
    assert unit_speed.share_of_tensors(24) == pytest.approx(25 / 26)


# ------------------------------------------------------------ too little data


def test_few_chains_are_inconclusive():
    assert {f.verdict for f in check_beta_law(measure_law(simulator(), "sync", 60, 400))} == {
        Verdict.INCONCLUSIVE
    }
    cases = measure_law(simulator(), "algorithm1", chains=4, steps=500)
    found = check_effective_eta(cases, effective_eta)
    assert verdict(found) is Verdict.INCONCLUSIVE
    few = check_virial(simulator(), "sync", lambda nu: 1.0, chains=4, steps=1000)
    assert verdict(few) is Verdict.INCONCLUSIVE
    assert all("units would decide" in f.note for f in few if f.verdict is Verdict.INCONCLUSIVE)


# ---------------------------------------------------------------- running them


def test_results_depend_on_the_seed_alone():
    first = BUILT_IN["C11"].run(simulator())
    after = simulator()
    BUILT_IN["N02"].run(after)
    assert BUILT_IN["C11"].run(after) == first
    assert BUILT_IN["C11"].run(simulator(8)) != first


def test_measurements_are_cached():
    calls = []
    sim = simulator()

    def measure(sim, times):
        calls.append(sim.seed)
        return 5 * times

    assert [sim.cached(measure, 1), sim.cached(measure, 1), sim.cached(measure, 2)] == [
        5,
        5,
        10,
    ]
    assert calls == [7, 7]
    assert np.array_equal(sim.rng("a").random(3), sim.rng("a").random(3))
    assert not np.array_equal(sim.rng("a").random(3), sim.rng("b").random(3))
