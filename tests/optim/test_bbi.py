"""BBI against an oracle, its bounces, and its global first norm (W22)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.optim.bbi.optimizer import BBI
from tests.oracles.algorithm1 import bbi
from tests.oracles.landscapes import LANDSCAPES

LR = {"zakharov": 1e-3, "ackley": 0.05, "rosenbrock": 2e-3, "logistic": 0.1}


def follow(optimizer, blocks, landscape, steps):
    path, cuts = [], np.cumsum([b.numel() for b in blocks])[:-1]
    for k in range(steps):
        theta = np.concatenate([b.detach().numpy() for b in blocks])
        for block, part in zip(blocks, np.split(landscape.grad(theta, k), cuts), strict=True):
            block.grad = torch.from_numpy(part.copy())
        optimizer.step(loss=float(landscape.F(theta, k)))
        path.append(np.concatenate([b.detach().numpy() for b in blocks]))
    return np.array(path)


@pytest.mark.parametrize("conserve", [True, False])
@pytest.mark.parametrize(("delta", "v0"), [(0.0, 0.0), (2.0, -0.5)])
@pytest.mark.parametrize("name", LANDSCAPES)
def test_follows_the_formulas_over_two_tensors(name, delta, v0, conserve):
    landscape = LANDSCAPES[name]
    options = {"lr": LR[name], "delta_energy": delta, "v0": v0, "conserve_energy": conserve}
    expected = bbi(landscape.F, landscape.grad, landscape.start, 60, **options)
    start = torch.from_numpy(landscape.start.copy())
    blocks = [torch.nn.Parameter(part.clone()) for part in (start[:1], start[1:])]
    path = follow(BBI(blocks, **options), blocks, landscape, 60)
    assert np.isfinite(expected).all()
    assert np.abs(path - expected).max() <= 1e-9 * np.abs(expected).max()


def run(steps, **options):
    """Constant loss, so that nothing but the counters decides; returns the steps that bounced."""
    p = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = BBI([p], lr=1e-3, delta_energy=1.0, seed=1, **options)
    bounced = []
    for k in range(steps):
        p.grad = torch.zeros_like(p)
        before, place = optimizer.report()["bounces"], p.detach().clone()
        optimizer.step(loss=1.0)
        if optimizer.report()["bounces"] > before:
            bounced.append(k)
            assert torch.equal(place, p.detach())
    return bounced, optimizer


def test_fixed_bounces_come_every_t0_steps_n_times():
    assert run(30, T0=4, T1=1000, n_bounces=3)[0] == [4, 9, 14]
    assert run(30, T0=4, T1=1000, n_bounces=1)[0] == [4]
    assert run(30, T0=4, T1=1000, n_bounces=0)[0] == [4]


def test_bounces_without_progress():
    """The first step is progress; then T1 steps without, a bounce, T1 steps without, …"""
    assert run(20, T0=1000, T1=5)[0] == [6, 12, 18]


def test_progress_delays_a_bounce():
    p = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = BBI([p], lr=1e-3, delta_energy=1.0, T0=1000, T1=5, seed=1)
    for k in range(40):
        p.grad = torch.zeros_like(p)
        optimizer.step(loss=1.0 - 0.01 * k)
    assert optimizer.report()["bounces"] == 0


def test_a_bounce_keeps_the_norm_and_changes_the_direction():
    _, optimizer = run(4, T0=4, T1=1000)
    p = optimizer.param_groups[0]["params"][0]
    log_p, e = optimizer.report()["log_momentum"], optimizer.state[p]["direction"].clone()
    optimizer.step(loss=1.0)
    assert optimizer.report()["bounces"] == 1
    assert optimizer.report()["log_momentum"] == log_p
    new = optimizer.state[p]["direction"]
    assert new.norm().item() == pytest.approx(1.0)
    assert abs(float(new @ e)) < 1 - 1e-6


def test_w22_first_momentum_is_normalised_over_all_tensors():
    def momentum(*shapes):
        params = [torch.nn.Parameter(torch.ones(n, dtype=torch.float64)) for n in shapes]
        optimizer = BBI(params, lr=1e-12, delta_energy=2.0, conserve_energy=False)
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step(loss=1.0)
        return math.exp(2 * optimizer.report()["log_momentum"])

    assert momentum(4) == pytest.approx(9.0 - 1.0)  # E²/V − V
    assert momentum(1, 1, 2) == pytest.approx(momentum(4))


def test_holds_below_the_offset_and_raises_on_a_bad_loss():
    p = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = BBI([p], v0=2.0)
    p.grad = torch.ones_like(p)
    optimizer.step(loss=1.0)
    assert optimizer.report()["held"] == 1
    assert p.tolist() == [1.0, 1.0]
    with pytest.raises(NonFiniteLossError):
        optimizer.step(loss=math.nan)


def test_float32_survives_a_tiny_loss():
    """π² = E²/V − V is 1e66 here; the published code overflows."""
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = BBI([p], lr=1e-3, eps2=0.0)
    for loss in (1e15, 1.0, 1e-18, 1e-36):
        p.grad = torch.full((2,), loss)
        optimizer.step(loss=loss)
    assert bool(p.detach().isfinite().all())
    assert optimizer.report()["log_momentum"] > math.log(1e32)
