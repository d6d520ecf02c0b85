"""ECD at unit speed: an oracle, invariances and the stationary law."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecd_tune.optim import ECDq1
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from ecd_tune.optim.params.noise import Noise
from ecd_tune.theory import Basin, bounce_cosine
from tests.oracles.landscapes import LANDSCAPES
from tests.oracles.unit_speed import ecd_q1

INTEGRATORS, FLOWS = ("algorithm1", "sync"), ("exact", "first_order")
each_kind = pytest.mark.parametrize(
    ("integrator", "flow"), [(i, f) for i in INTEGRATORS for f in FLOWS]
)


def parameters(*parts):
    return [torch.nn.Parameter(torch.from_numpy(np.array(part))) for part in parts]


def follow(optimizer, blocks, landscape, steps):
    path, cuts = [], np.cumsum([b.numel() for b in blocks])[:-1]
    for k in range(steps):
        theta = np.concatenate([b.detach().numpy().ravel() for b in blocks])
        parts = np.split(landscape.grad(theta, k), cuts)
        for block, part in zip(blocks, parts, strict=True):
            block.grad = torch.from_numpy(part.reshape(block.shape).copy())
        optimizer.step(loss=float(landscape.F(theta, k)))
        path.append(np.concatenate([b.detach().numpy().ravel() for b in blocks]))
    return np.array(path)


def relative_error(path, expected):
    assert np.isfinite(expected).all()
    return float((np.abs(path - expected) / np.abs(expected).max(axis=1, keepdims=True)).max())


# --- against the transcription

LR = {"zakharov": 0.1, "ackley": 0.1, "rosenbrock": 0.02, "logistic": 0.3}


@each_kind
@pytest.mark.parametrize("conserve", [True, False])
@pytest.mark.parametrize("name", LANDSCAPES)
def test_two_groups_match_the_oracle(name, conserve, integrator, flow):
    landscape, n = LANDSCAPES[name], len(LANDSCAPES[name].start)
    lr, decay = np.full(n, LR[name]), np.full(n, 0.02)
    lr[n // 2 :] *= 0.5
    decay[n // 2 :] = 0.0
    noise = Noise(11)
    z = (noise.normal(step, n, [(0, n)], torch.float64).numpy() for step in range(40))
    common = {"eta": 3.0, "nu": 0.3, "F0": -0.1, "integrator": integrator, "flow": flow}
    common["conserve_energy"] = conserve
    expected = ecd_q1(
        landscape.F, landscape.grad, landscape.start, 40, lr=lr, weight_decay=decay, z=z, **common
    )
    first, second = landscape.start[: n // 2], landscape.start[n // 2 :]
    blocks = parameters(first[:1], first[1:], second.reshape(1, -1))
    groups = [
        {"params": blocks[:2], "weight_decay": 0.02},
        {"params": blocks[2:], "lr": 0.5 * LR[name]},
    ]
    optimizer = ECDq1(groups, lr=LR[name], seed=11, **common)
    assert relative_error(follow(optimizer, blocks, landscape, 40), expected) < 1e-9


@each_kind
def test_large_eta_matches_the_oracle(integrator, flow):
    landscape = LANDSCAPES["logistic"]
    common = {"lr": 0.3, "eta": 100.0, "integrator": integrator, "flow": flow}
    expected = ecd_q1(landscape.F, landscape.grad, landscape.start, 20, **common)
    blocks = parameters(landscape.start)
    path = follow(ECDq1(blocks, **common), blocks, landscape, 20)
    assert relative_error(path, expected) < 1e-9


# --- the speed


@each_kind
@pytest.mark.parametrize("eta", [1.5, 100.0])
def test_each_step_is_dt_long(eta, integrator, flow):
    landscape = LANDSCAPES["rosenbrock"]
    blocks = parameters(landscape.start[:1], landscape.start[1:])
    optimizer = ECDq1(
        blocks, lr=0.2, eta=eta, nu=0.4, weight_decay=0.1, integrator=integrator, flow=flow, seed=1
    )
    path = np.concatenate([landscape.start[None], follow(optimizer, blocks, landscape, 50)])
    length = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(length, 0.2 / math.sqrt(eta), rtol=1e-13)


def test_without_conservation_the_first_order_changes_the_speed_and_the_exact_flow_does_not():
    landscape, options = LANDSCAPES["zakharov"], {"lr": 0.1, "eta": 3.0, "conserve_energy": False}
    for flow, same in (("exact", True), ("first_order", False)):
        blocks = parameters(landscape.start)
        path = follow(ECDq1(blocks, flow=flow, **options), blocks, landscape, 30)
        length = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert bool(np.ptp(length) < 1e-12) is same


# --- invariances


@each_kind
@pytest.mark.parametrize("foreach", [True, False])
def test_independent_of_split_into_tensors(integrator, flow, foreach):
    landscape = LANDSCAPES["zakharov"]
    ends = []
    for cuts in ([], [3], list(range(1, 10))):
        blocks = parameters(*np.split(landscape.start, cuts))
        optimizer = ECDq1(
            blocks, lr=0.1, eta=4.0, nu=0.3, weight_decay=0.01, integrator=integrator, flow=flow,
            foreach=foreach, seed=5,
        )  # fmt: skip
        ends.append(follow(optimizer, blocks, landscape, 60))
    assert relative_error(ends[1], ends[0]) < 1e-12
    assert relative_error(ends[2], ends[0]) < 1e-12


@each_kind
def test_lr_of_a_group_is_a_change_of_coordinates(integrator, flow):
    landscape, factor = LANDSCAPES["zakharov"], 3.0
    scale = np.ones(10)
    scale[4:] = factor
    options = {"lr": 0.1, "eta": 4.0, "nu": 0.3, "integrator": integrator, "flow": flow, "seed": 5}
    blocks = parameters(*np.split(landscape.start, [4]))
    groups = [
        {"params": blocks[:1], "weight_decay": 0.1},
        {"params": blocks[1:], "weight_decay": 0.1, "lr": 0.1 * factor},
    ]
    path = follow(ECDq1(groups, **options), blocks, landscape, 30)

    class Scaled:
        def F(self, u, k):
            return landscape.F(scale * u)

        def grad(self, u, k):
            return scale * landscape.grad(scale * u)

    blocks = parameters(*np.split(landscape.start / scale, [4]))
    groups = [
        {"params": blocks[:1], "weight_decay": 0.1},
        {"params": blocks[1:], "weight_decay": 0.1 * factor**2},
    ]
    expected = scale * follow(ECDq1(groups, **options), blocks, Scaled(), 30)
    assert relative_error(path, expected) < 1e-12


def test_a_first_lr_of_0_leaves_the_first_direction_to_the_gradient():
    p = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = ECDq1([p], lr=1.0)
    optimizer.param_groups[0]["lr"] = 0.0
    p.grad = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)
    optimizer.step(loss=1.0)
    assert p.tolist() == [1.0, 1.0, 1.0]
    torch.testing.assert_close(optimizer.state[p]["direction"], -p.grad / 5)


# --- the stationary law

N, CHAINS, STEPS, BURN_IN = 24, 96, 1800, 300
ETAS = (1.5, 2.0, 4.0)


def starts(eta, rng):
    """Draw points of the law itself: x = (F−Fmin)/(F−F0) is Beta(n/2, (η−1)n/2)."""
    x = rng.beta(N / 2, (eta - 1) * N / 2, size=CHAINS)
    direction = rng.standard_normal((CHAINS, N))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return np.sqrt(x / (1 - x))[:, None] * direction


WEIGHTS = np.geomspace(0.5, 2.0, N)
"""F = 1 + Σ w θ²: F2 is their geometric mean, 1; F0 = 0, so that D = 1."""


def mean_x(integrator, flow, nu, lr=0.1):
    """Return mean and standard error of x for each η: independent chains in one batch."""
    rng = np.random.default_rng(7)
    theta = np.concatenate([starts(eta, rng) for eta in ETAS]) / np.sqrt(WEIGHTS)
    rows = [
        {"lr": lr, "eta": eta, "nu": nu, "integrator": integrator, "flow": flow}
        for eta in ETAS
        for _ in range(CHAINS)
    ]
    blocks = [torch.from_numpy(theta[:, :5].copy()), torch.from_numpy(theta[:, 5:].copy())]
    optimizer = BatchedECDq1(blocks, list(range(len(rows))), rows)
    everyone = torch.ones(len(rows), dtype=torch.bool)
    weights = torch.from_numpy(WEIGHTS)
    sums = torch.zeros(2, len(rows), dtype=torch.float64)
    for step in range(STEPS):
        theta = torch.cat(optimizer.params, dim=1)
        gap = (theta.square() * weights).sum(1)
        if step >= BURN_IN:
            sums += torch.stack([gap / (1 + gap), gap])
        gradient = 2 * weights * theta
        optimizer.step(1 + gap, [gradient[:, :5], gradient[:, 5:]], everyone)
    means = sums.view(2, len(ETAS), CHAINS) / (STEPS - BURN_IN)
    return means.mean(-1).numpy(), means.std(-1).numpy() / math.sqrt(CHAINS)


def plateau(eta):
    """E[F − Fmin] of the law ∝ (F−F0)^{−ηn/2}."""
    basin = Basin(n=N, eta=eta, F_min=1.0, F0=0.0, curvature=1.0, F_init=2.0, s=0, delta_energy=1.0)
    return float(basin.plateau_gap())


def test_predicted_losses():
    assert [round(plateau(eta), 3) for eta in ETAS] == [2.4, 1.091, 0.343]


@pytest.mark.parametrize(
    ("integrator", "nu"),
    [
        ("algorithm1", 1.0),
        ("sync", 0.5),
        pytest.param("algorithm1", 0.5, marks=pytest.mark.slow),
        pytest.param("sync", 1.0, marks=pytest.mark.slow),
    ],
)
def test_the_stationary_law(integrator, nu):
    """E[x] = 1/η, E[F − Fmin] = the plateau; η is 2η/(1+λ) where the turn is not half-way."""
    cosine = 1.0 if integrator == "sync" else float(bounce_cosine(N, nu / math.sqrt(N)))
    means, errors = mean_x(integrator, "exact", nu)
    for number, eta in enumerate(ETAS):
        sampled = 2 * eta / (1 + cosine)
        for mean, error, expected in zip(
            means[:, number], errors[:, number], (1 / sampled, plateau(sampled)), strict=True
        ):
            assert abs(mean - expected) < 4 * error, (eta, mean, expected)
            assert error < 0.04 * expected


def per_tensor_chain(nu, lr=0.1, pieces=N):
    """Run a transcription of the authors' step, whose p·g runs over each tensor by itself.

    Returns:
        Mean of x and its standard error for each η; ``pieces=1`` is one tensor.
    """
    rng = np.random.default_rng(8)
    eta = np.repeat(ETAS, CHAINS)[:, None]
    theta, dt = np.concatenate([starts(e, rng) for e in ETAS]), lr / np.sqrt(eta)
    p = -theta / np.linalg.norm(theta, axis=1, keepdims=True)
    total = np.zeros(len(theta))
    for step in range(STEPS):
        gap = 1 + np.sum(theta**2, axis=1, keepdims=True)
        total += (step >= BURN_IN) * (1 - 1 / gap[:, 0])
        g = 2 * theta
        dots = np.sum((p * g).reshape(len(p), pieces, -1), axis=2)
        along = np.repeat(dots, N // pieces, axis=1)
        p = p - 0.5 * dt * eta * N / (N - 1) * (g - p * along) / gap
        p /= np.linalg.norm(p, axis=1, keepdims=True)
        theta = theta + dt * p
        p = p + nu / math.sqrt(N) * rng.standard_normal(p.shape)
        p /= np.linalg.norm(p, axis=1, keepdims=True)
    means = (total / (STEPS - BURN_IN)).reshape(len(ETAS), CHAINS)
    return means.mean(1), means.std(1) / math.sqrt(CHAINS)


def test_dot_product_per_tensor_samples_another_law():
    """Negative control of the test above; one tensor passes it."""
    cosine = float(bounce_cosine(N, 0.5 / math.sqrt(N)))
    expected = (1 + cosine) / (2 * np.array(ETAS))
    one, error = per_tensor_chain(0.5, pieces=1)
    assert (np.abs(one - expected) < 4 * error + 0.005 * expected).all()
    many, error = per_tensor_chain(0.5)
    assert (many - expected > 6 * error).all()
