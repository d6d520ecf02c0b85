"""Factors from second moments: formula, saving, batches, skipped values."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ecd_tune.optim import BatchedECDSep, ECDq1, ECDSep, auto
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.optim.params.moments import learn, refine

CURVATURES = torch.logspace(-3, 1, 12).double()
STEPS = 40


def loss_of(x: Tensor, step: int) -> Tensor:
    """A quadratic whose second half sees a gradient in every third step only."""
    used = torch.ones(12).double()
    if step % 3:
        used[6:] = 0.0
    wobble = 0.1 * torch.sin(step + torch.arange(12).double())
    return 1.0 + 0.5 * (CURVATURES * used * (x - wobble).square()).sum()


def run(params: list[Tensor], optimizer: Any, steps: range, factor: float = 1.0) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss = factor * loss_of(torch.cat([p.flatten() for p in params]), step)
        loss.backward()
        optimizer.step(loss=loss)


def fresh(dtype: torch.dtype = torch.float64) -> list[torch.nn.Parameter]:
    start = torch.linspace(-1, 2, 12, dtype=dtype)
    return [torch.nn.Parameter(start[:5].clone()), torch.nn.Parameter(start[5:].clone())]


def reference(lr: float, eta: float) -> np.ndarray:
    """ECD at unit speed with the formulas of the documentation, one number after another."""
    x, n = np.linspace(-1, 2, 12), 12
    v, log_k, mean, p = np.zeros(n), 0.0, 0.0, None
    shares = [np.zeros(2), np.zeros(2)]
    blocks = [slice(0, 5), slice(5, 12)]
    for t in range(STEPS):
        theta = torch.tensor(x, requires_grad=True)
        loss = loss_of(theta, t)
        loss.backward()
        g = theta.grad.numpy()
        share = np.ones(n)
        for seen, block in zip(shares, blocks, strict=True):
            if seen[1] < 16:
                seen += [np.mean(g[block] != 0), 1]
            share[block] = seen[1] / seen[0]
        power = -0.375 * (1 - math.exp(-t / 300))
        u = (np.where(v > 0, v, mean) + (1e-3 * mean or 1.0)) ** power
        c = share * u * math.exp(log_k)
        unit = share * g / np.linalg.norm(share * g)
        log_k += max(1 / (t + 1), 0.1) * (-math.log(np.linalg.norm(unit * u)) - log_k)
        mean = v[v > 0].mean() if (v > 0).any() else 0.0
        for i in range(n):
            if unit[i] != 0:
                v[i] = v[i] + 0.01 * (unit[i] ** 2 - v[i]) if v[i] > 0 else unit[i] ** 2
        force = c * g
        a = -force / np.linalg.norm(force)
        p = a if p is None else p
        delta = 0.5 * math.sqrt(eta) * lr * np.linalg.norm(force) * n / (n - 1) / loss.item()
        cosine = a @ p
        p = p + a * (math.sinh(delta) + cosine * (math.cosh(delta) - 1))
        p /= np.linalg.norm(p)
        x = x + lr / math.sqrt(eta) * c * p
    return x


def test_run_matches_the_formulas() -> None:
    params = fresh()
    run(params, ECDq1(params, lr=0.3, eta=8.0, scale="moments", seed=0), range(STEPS))
    found = torch.cat([p.detach() for p in params])
    np.testing.assert_allclose(found, reference(0.3, 8.0), rtol=1e-10)


def test_it_begins_with_the_share_rule() -> None:
    ends = []
    for scale in ("moments", "share"):
        params = fresh()
        run(params, ECDq1(params, scale=scale, seed=0), range(1))
        ends.append(torch.cat([p.detach() for p in params]))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=0)


@pytest.mark.parametrize("factor", [1e-18, 1e18])
def test_the_unit_of_the_loss_does_not_matter(factor: float) -> None:
    """In float32, where squares of such gradients do not exist."""
    ends = []
    for unit in (1.0, factor):
        params = fresh(torch.float32)
        run(params, auto(params, seed=0), range(STEPS), unit)
        ends.append(torch.cat([p.detach() for p in params]))
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [ECDSep, ECDq1])
def test_a_saved_run_continues_bit_by_bit(kind: Any) -> None:
    options = {"lr": 0.3, "eta": 3.0, "nu": 0.1, "scale": "moments", "seed": 1}
    params = fresh()
    optimizer = kind(params, **options)
    run(params, optimizer, range(20))
    kept = copy.deepcopy(([p.data for p in params], optimizer.state_dict()))
    run(params, optimizer, range(20, STEPS))
    others = [torch.nn.Parameter(p) for p in kept[0]]
    restored = kind(others, **{**options, "seed": 2})
    restored.load_state_dict(kept[1])
    run(others, restored, range(20, STEPS))
    for p, q in zip(params, others, strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize(("single", "batched"), [(ECDSep, BatchedECDSep), (ECDq1, BatchedECDq1)])
def test_batch_equals_single_runs(single: Any, batched: Any) -> None:
    rows = [{"lr": 0.2, "eta": 3.0, "nu": 0.1, "scale": s} for s in ("moments", "share", 2.0)]
    alone = []
    for seed, row in enumerate(rows):
        params = fresh()
        run(params, single(params, seed=seed, **row), range(STEPS))
        alone.append(torch.cat([p.detach() for p in params]))
    theta = [torch.stack([p.detach().clone()] * 3) for p in fresh()]
    together = batched(theta, [0, 1, 2], rows)
    for step in range(STEPS):
        points = torch.cat(together.params, dim=1).requires_grad_()
        losses = torch.stack([loss_of(x, step) for x in points])
        losses.sum().backward()
        grads = points.grad.split([5, 7], dim=1)
        together.step(losses.detach(), grads, torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(
        torch.cat(together.params, dim=1), torch.stack(alone), rtol=1e-9, atol=0
    )


def test_skipped_steps_change_nothing() -> None:
    algebra, log_k, mean = Algebra(), torch.tensor(0.3).double(), torch.tensor(1.5).double()
    v = [torch.tensor([1.0, 0.0, 2.0])]
    yes, no = torch.tensor(True), torch.tensor(False)
    for bad, active in (([math.nan, 1, 1], yes), ([0, 0, 0], yes), ([1, 1, 1], no)):
        factors, grads = refine(algebra, v, log_k, mean, 9), [torch.tensor(bad).float()]
        found = learn(algebra, grads, factors, v, log_k, mean, 9, active)
        assert torch.equal(found[0][0], v[0])
        assert found[1:] == (log_k, mean)
        assert factors[0].isfinite().all()


def test_groups_without_moments_keep_their_scale() -> None:
    params = fresh()
    groups = [{"params": [params[0]], "scale": 3.0}, {"params": [params[1]], "scale": "moments"}]
    optimizer = ECDq1(groups, lr=0.3, eta=8.0, seed=0)
    run(params, optimizer, range(STEPS))
    assert "second_moment" in optimizer.state[params[1]]
    assert "second_moment" not in optimizer.state[params[0]]


def test_missing_gradient_keeps_moments() -> None:
    params = fresh()
    optimizer = auto(params, seed=0)
    run(params, optimizer, range(5))
    before = optimizer.state[params[1]]["second_moment"].clone()
    optimizer.zero_grad()
    loss = 1 + params[0].square().sum()
    loss.backward()
    optimizer.step(loss=loss)
    assert torch.equal(optimizer.state[params[1]]["second_moment"], before)
