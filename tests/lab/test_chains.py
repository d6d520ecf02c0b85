"""Chains against Algorithm 1 and sync written out in numpy, and their special cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ecd_tune.lab.chains import run_chains, turn_cosines
from ecd_tune.lab.trajectory import ChainSetup
from tests.oracles.algorithm1 import ecdsep
from tests.oracles.unit_speed import ecd_q1

WEIGHTS = np.array([0.3, 1.0, 2.0, 0.7])


def bowl(theta):
    return theta**2 @ WEIGHTS + 1.0, 2.0 * WEIGHTS * theta


def setup(**changes):
    theta = np.array([[0.5, -1.0, 0.8, 0.2]])
    downhill = -bowl(theta)[1]
    downhill /= np.linalg.norm(downhill)
    settings = {"lr": 0.07, "eta": 2.3, "F0": 0.2, "delta_energy": 0.6, "s": 1, "nu": 0.4}
    return ChainSetup(bowl, theta, downhill, **(settings | changes))


def positions(setup, steps, seed=5):
    moments = list(run_chains(setup, steps + 1, np.random.default_rng(seed)))
    return np.array([moment.theta[0] for moment in moments[1:]])


@pytest.mark.parametrize("s", [0, 1])
@pytest.mark.parametrize("conserve", [True, False])
def test_algorithm1_matches_the_oracle(s, conserve):
    chain = setup(integrator="algorithm1", s=s, conserve=conserve)
    rng = np.random.default_rng(5)
    path = ecdsep(
        lambda x, k: bowl(x[None])[0][0],
        lambda x, k: bowl(x[None])[1][0],
        chain.theta[0],
        60,
        lr=0.07,
        eta=2.3,
        nu=0.4,
        F0=0.2,
        delta_energy=0.6,
        s=s,
        conserve_energy=conserve,
        z=(rng.standard_normal((1, 4))[0] for _ in range(60)),
    )
    np.testing.assert_allclose(positions(chain, 60), path, rtol=1e-10, atol=1e-12)


def sync(theta, p, steps, dt, eta, nu, F0, s, delta, rng):
    """Half kick, rescale, turn, half kick, drift, as the equations stand."""
    energy, path = None, []
    for t in range(steps):
        loss, gradient = bowl(theta[None])
        gap = loss[0] - F0
        if energy is None:
            energy = gap**eta * (s + delta)
        pull = eta / gap * gradient[0]
        if t:
            p = p - 0.5 * dt * pull
        p = p * math.sqrt((energy / gap**eta - s) / (p @ p))
        turned = p / np.linalg.norm(p) + nu * rng.standard_normal((1, len(p)))[0]
        p = np.linalg.norm(p) * turned / np.linalg.norm(turned)
        p = p - 0.5 * dt * pull
        theta = theta + 2 * dt * p / (p @ p + s)
        path.append(theta)
    return np.array(path)


@pytest.mark.parametrize("s", [0, 1])
def test_sync_matches_the_equations(s):
    chain = setup(integrator="sync", s=s)
    p = math.sqrt(0.6) * chain.direction[0]
    rng = np.random.default_rng(5)
    path = sync(chain.theta[0], p, 60, 0.07, 2.3, 0.4, 0.2, s, 0.6, rng)
    np.testing.assert_allclose(positions(chain, 60), path, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cuts", [(), (1, 3)])
@pytest.mark.parametrize("flow", ["exact", "first_order"])
@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_unit_speed_matches_the_oracle(integrator, flow, cuts):
    chain = setup(integrator=integrator, flow=flow, cuts=cuts, nu=0.8)
    rng = np.random.default_rng(5)
    path = ecd_q1(
        lambda x, k: bowl(x[None])[0][0],
        lambda x, k: bowl(x[None])[1][0],
        chain.theta[0],
        60,
        lr=0.07,
        eta=2.3,
        nu=0.8,
        F0=0.2,
        integrator=integrator,
        flow=flow,
        z=(rng.standard_normal((1, 4))[0] for _ in range(60)),
    )
    np.testing.assert_allclose(positions(chain, 60), path, rtol=1e-10, atol=1e-12)
    moment = next(iter(run_chains(chain, 1, rng)))
    assert moment.log_p.tolist() == [0.0]
    assert moment.log_potential == moment.log_energy


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_splitting_into_tensors_changes_nothing(integrator):
    whole, cut = setup(integrator=integrator), setup(integrator=integrator, cuts=(1, 3))
    np.testing.assert_allclose(positions(cut, 40), positions(whole, 40), rtol=1e-12)


def test_columns_are_settings_of_single_chains():
    many = setup(integrator="algorithm1", nu=0.0)
    theta = np.repeat(many.theta, 3, axis=0)
    columns = {
        "lr": np.array([0.01, 0.07, 0.3]),
        "eta": np.array([1.0, 2.0, 3.0]),
        "s": np.array([0, 1, 1]),
        "F0": np.array([0.0, 0.2, -1.0]),
        "delta_energy": np.array([1.0, 0.0, 0.5]),
    }
    directions = np.repeat(many.direction, 3, axis=0)
    batch = ChainSetup(bowl, theta, directions, integrator="algorithm1", **columns)
    last = list(run_chains(batch, 20, np.random.default_rng(0)))[-1]
    for row in range(3):
        one = setup(integrator="algorithm1", nu=0.0, **{k: v[row] for k, v in columns.items()})
        alone = list(run_chains(one, 20, np.random.default_rng(0)))[-1]
        np.testing.assert_allclose(last.theta[row], alone.theta[0], rtol=1e-12)


@pytest.mark.parametrize("s", [0, 1])
def test_a_given_energy_sets_the_momentum(s):
    chain = setup(s=s, log_energy=4.0, integrator="sync")
    moment = next(iter(run_chains(chain, 1, np.random.default_rng(0))))
    assert moment.log_energy[0] == 4.0
    log_h = math.log(math.exp(2 * moment.log_p[0]) + s) + moment.log_potential[0]
    assert log_h == pytest.approx(4.0, rel=1e-13)


@pytest.mark.parametrize("flow", [None, "exact"])
def test_a_chain_below_F0_holds_and_disturbs_no_other(flow):
    theta = np.array([[0.5, -1.0, 0.8, 0.2], [0.1, 0.0, 0.0, 0.0]])
    offsets = np.array([0.2, 2.0])
    both = ChainSetup(bowl, theta, theta, lr=0.1, eta=2.0, F0=offsets, nu=0.0, flow=flow)
    alone = ChainSetup(bowl, theta[:1], theta[:1], lr=0.1, eta=2.0, F0=0.2, nu=0.0, flow=flow)
    moments = list(run_chains(both, 5, np.random.default_rng(0)))
    expected = list(run_chains(alone, 5, np.random.default_rng(0)))
    for moment, one in zip(moments, expected, strict=True):
        assert moment.held.tolist() == [False, True]
        np.testing.assert_allclose(moment.theta[0], one.theta[0], rtol=1e-13)
        np.testing.assert_array_equal(moment.theta[1], theta[1])
        assert not moment.moved[1].any()


def test_skipped_rescale_is_reported():
    chain = setup(s=1, log_energy=-1.0, integrator="algorithm1", nu=0.0)
    moment = next(iter(run_chains(chain, 1, np.random.default_rng(0))))
    assert moment.unreachable.tolist() == [True]


def test_turns_come_in_pieces_and_in_the_number_asked_for(monkeypatch):
    monkeypatch.setattr("ecd_tune.lab.chains._TURNS_AT_ONCE", 100)
    cosines = turn_cosines(10, 0.0, 25, np.random.default_rng(0))
    assert cosines.tolist() == [1.0] * 25
    assert np.ptp(turn_cosines(10, 0.5, 25, np.random.default_rng(0))) > 0
