"""Joint steps equal the steps of single optimizers, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ecd_tune.optim import ECDq1, ECDSep
from ecd_tune.optim.base import LossOptimizer
from ecd_tune.optim.joint_steps import JointSteps, Member

SHAPES = ((3, 4), (70,), (1,))
STEPS = 300  # more than the 256 whose numbers are kept before they are summed up

MAKERS: dict[str, Callable[[list[Tensor], int], LossOptimizer]] = {
    "ecdsep": lambda p, seed: ECDSep(p, lr=0.05 * (seed + 1), eta=1.5, nu=0.01, seed=seed),
    "no chaos": lambda p, seed: ECDSep(p, lr=0.05, eta=2.0, nu=0.0, weight_decay=0.1, seed=seed),
    "share": lambda p, seed: ECDSep(p, lr=0.05, eta=1.5, nu=0.01, scale="share", seed=seed),
    "auto": lambda p, seed: ECDSep(p, lr="auto", eta=1.5, nu=0.01, seed=seed),
    "unit speed": lambda p, seed: ECDq1(p, lr=0.2, eta=20.0, nu=0.1, seed=seed),
}


def make_params(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    params = [torch.randn(shape, generator=generator).requires_grad_(True) for shape in SHAPES]
    for p in params:
        p.grad = torch.zeros_like(p)
    return params


@torch.no_grad()
def compute(params: list[Tensor]) -> float:
    """Write the gradient of ½|θ|² + 1 where it lay before."""
    for p in params:
        assert p.grad is not None
        p.grad.copy_(p)
    return 1.0 + 0.5 * sum(float(p.square().sum()) for p in params)


@pytest.mark.parametrize("kind", MAKERS)
def test_joint_steps_equal_single_steps(kind: str) -> None:
    rows = [make_params(seed) for seed in range(3)]
    alone = [make_params(seed) for seed in range(3)]
    joint = JointSteps()
    own = [MAKERS[kind](params, seed) for seed, params in enumerate(rows)]
    single = [MAKERS[kind](params, seed) for seed, params in enumerate(alone)]
    members = [Member(joint, optimizer) for optimizer in own]
    for number in range(STEPS):
        active = [row for row in range(3) if number >= 10 * row]  # they begin one by one
        for row in active:
            if number % 50 == 49 and kind != "auto":
                for optimizer in (own[row], single[row]):
                    optimizer.param_groups[0]["lr"] *= 0.9
            members[row].step(compute(rows[row]))
            single[row].step(loss=compute(alone[row]))
        joint.step()
    for row in range(3):
        for a, b in zip(rows[row], alone[row], strict=True):
            assert torch.equal(a, b)
        assert_same(own[row].report(), single[row].report())


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value == expected[name] or value != value, name


def test_fused_steps_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from ecd_tune.optim import joint_steps

    calls: list[int] = []
    several = joint_steps.step_several

    def count(addresses: list[int], losses: list[float]) -> None:
        calls.append(len(addresses))
        several(addresses, losses)

    monkeypatch.setattr(joint_steps, "step_several", count)
    rows, joint = [make_params(seed) for seed in range(3)], JointSteps()
    members = [Member(joint, MAKERS["ecdsep"](params, seed)) for seed, params in enumerate(rows)]
    for _ in range(5):
        for params, member in zip(rows, members, strict=True):
            member.step(compute(params))
        joint.step()
    assert calls == [3, 3, 3]  # after the step that sets the energy, and one that makes the plan
