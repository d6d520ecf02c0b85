"""ECDSep against an oracle of Algorithm 1, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecd_tune.optim.ecdsep import ECDSep
from ecd_tune.optim.params.noise import Noise
from tests.oracles.algorithm1 import ecdsep
from tests.oracles.landscapes import LANDSCAPES

STEPS = 60
LR = {"zakharov": 0.2, "ackley": 0.1, "rosenbrock": 0.05, "logistic": 0.3}
SETTINGS = [
    {"s": s, "delta_energy": d, "conserve_energy": c, "weight_decay": wd, "F0": F0, "eta": eta}
    for s, d in ((1, 0.0), (1, 0.7), (0, 1.0), (0, 2.5))
    for c in (True, False)
    for wd, F0, eta in ((0.0, 0.0, 1.0), (0.03, 0.0, 2.0), (0.01, -0.5, 1.7))
]


def follow(optimizer, blocks, landscape, steps):
    path = []
    for k in range(steps):
        theta = np.concatenate([b.detach().numpy().ravel() for b in blocks])
        parts = np.split(landscape.grad(theta, k), np.cumsum([b.numel() for b in blocks])[:-1])
        for block, part in zip(blocks, parts, strict=True):
            block.grad = torch.from_numpy(part.reshape(block.shape).copy())
        optimizer.step(loss=landscape.F(theta, k))
        path.append(np.concatenate([b.detach().numpy().ravel() for b in blocks]))
    return np.array(path)


def relative_error(path, expected):
    scale = np.abs(expected).max(axis=1, keepdims=True)
    return float((np.abs(path - expected) / scale).max())


def parameters(*parts):
    return [torch.nn.Parameter(torch.from_numpy(np.array(part))) for part in parts]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda d: "-".join(str(v) for v in d.values()))
@pytest.mark.parametrize("name", LANDSCAPES)
def test_one_tensor_follows_algorithm_1(name, settings):
    landscape = LANDSCAPES[name]
    expected = ecdsep(landscape.F, landscape.grad, landscape.start, STEPS, lr=LR[name], **settings)
    blocks = parameters(landscape.start)
    optimizer = ECDSep(blocks, lr=LR[name], nu=0.0, **settings)
    assert np.isfinite(expected).all()
    assert relative_error(follow(optimizer, blocks, landscape, STEPS), expected) < 1e-9


@pytest.mark.parametrize("foreach", [True, False, None])
@pytest.mark.parametrize("s", [0, 1])
@pytest.mark.parametrize("name", LANDSCAPES)
def test_several_tensors_and_groups_follow_algorithm_1(name, s, foreach):
    landscape, n = LANDSCAPES[name], len(LANDSCAPES[name].start)
    lr, decay = np.full(n, LR[name]), np.full(n, 0.02)
    lr[n // 2 :] *= 0.5
    decay[n // 2 :] = 0.0
    common = {"eta": 1.5, "s": s, "delta_energy": 0.6, "F0": -0.1}
    expected = ecdsep(
        landscape.F, landscape.grad, landscape.start, STEPS, lr=lr, weight_decay=decay, **common
    )
    first, second = landscape.start[: n // 2], landscape.start[n // 2 :]
    blocks = parameters(first[:1], first[1:], second.reshape(1, -1))
    groups = [
        {"params": blocks[:2], "weight_decay": 0.02},
        {"params": blocks[2:], "lr": 0.5 * LR[name]},
    ]
    optimizer = ECDSep(groups, lr=LR[name], nu=0.0, foreach=foreach, **common)
    assert relative_error(follow(optimizer, blocks, landscape, STEPS), expected) < 1e-9


@pytest.mark.parametrize("s", [0, 1])
def test_noise_enters_as_in_algorithm_1(s):
    landscape = LANDSCAPES["zakharov"]
    noise = Noise(11)
    z = (noise.normal(step, 10, [(0, 10)], torch.float64).numpy() for step in range(STEPS))
    common = {"lr": 0.01, "eta": 1.3, "nu": 0.05, "s": s, "delta_energy": 0.5}
    expected = ecdsep(landscape.F, landscape.grad, landscape.start, STEPS, z=z, **common)
    blocks = parameters(landscape.start)
    optimizer = ECDSep(blocks, seed=11, **common)
    assert relative_error(follow(optimizer, blocks, landscape, STEPS), expected) < 1e-9


def test_the_oracle_is_sensitive_to_the_order_of_rescale_and_kick():
    """Rescaling after the kick, as the text of §3.3 says, is another trajectory."""
    landscape = LANDSCAPES["rosenbrock"]
    kept = ecdsep(landscape.F, landscape.grad, landscape.start, 5, lr=0.01, eta=2.0)
    free = ecdsep(
        landscape.F, landscape.grad, landscape.start, 5, lr=0.01, eta=2.0, conserve_energy=False
    )
    assert relative_error(free, kept) > 1e-6
