"""Algorithm 2: F0 above the minimum of the loss is lowered until the motion continues."""

from __future__ import annotations

import math

import pytest
import torch

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.self_tuning.ecdsep_f0 import ECDSepF0


def build(**options):
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    return p, ECDSepF0([p], **{"lr": 0.1, "eta": 1, "nu": 0.0, **options})


def give(p, optimizer, loss):
    p.grad = torch.ones_like(p)
    optimizer.step(loss=loss)
    return optimizer.report()


@pytest.mark.parametrize("eta", [2, 4, 2.0, 1.5, 0, -1])
def test_eta_must_be_an_odd_whole_number(eta):
    with pytest.raises(HyperparameterError, match="eta"):
        build(eta=eta)


def test_eta_one_shifts_as_the_paper_does():
    """For η = 1, V is the gap and ΔF0 ← ΔF0 + 5V with V measured with the shift."""
    p, optimizer = build(F0=1.0)
    give(p, optimizer, 3.0)
    assert give(p, optimizer, 0.8)["F0"] == pytest.approx(1.0 + 5 * (0.8 - 1.0))  # 0
    assert give(p, optimizer, 0.5)["shifts"] == 1  # above the shifted F0
    assert give(p, optimizer, -0.1)["F0"] == pytest.approx(5 * -0.1)  # not 5·(-0.1 - 1)


def test_the_kick_uses_the_shifted_gap():
    """D14: after a shift the force is η∇F/(F − F0 − ΔF0), with the shift in it."""
    p, optimizer = build(F0=1.0, conserve_energy=False)
    give(p, optimizer, 3.0)
    give(p, optimizer, 0.8)  # F0 is 0 now
    before = math.exp(optimizer.report()["log_momentum"])
    after = math.exp(give(p, optimizer, 0.8)["log_momentum"])
    assert after - before == pytest.approx(0.1 * math.sqrt(2) / 0.8)


@pytest.mark.parametrize("eta", [1, 3, 5])
@pytest.mark.parametrize("loss", [1.0, 1.0 - 1e-12, 0.4])
def test_one_shift_is_enough(eta, loss):
    """Not the stall of 5V: V = 0 on the spot, and gap^η far below the gap."""
    p, optimizer = build(eta=eta, F0=1.0)
    give(p, optimizer, 3.0)
    assert give(p, optimizer, loss)["shifts"] == 1
    report = give(p, optimizer, loss)
    assert (report["shifts"], report["updates"]) == (1, 2)


@pytest.mark.parametrize("reset", [False, True])
def test_energy_after_a_shift(reset):
    p, optimizer = build(F0=1.0, reset_energy=reset)
    give(p, optimizer, 3.0)
    before = give(p, optimizer, 2.0)
    after = give(p, optimizer, 0.8)
    gap = 0.8 - after["F0"]
    measured = math.log(gap * (math.exp(2 * before["log_momentum"]) + 1))
    expected = measured if reset else before["log_energy"]
    assert after["log_energy"] == pytest.approx(expected, rel=1e-12)


def test_it_crosses_a_wrong_offset_and_finds_the_minimum():
    """F0 = 1 on a bowl whose minimum is 0.5: plain ECDSep can never go below 1."""
    p, optimizer = build(F0=1.0, nu=0.01, seed=1, lr=0.2)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = p.square().sum() + 0.5
        loss.backward()
        losses.append(optimizer.step(loss=loss).item())
    assert optimizer.report()["shifts"] >= 1
    assert min(losses) < 0.6


def test_shift_survives_saving():
    p, optimizer = build(F0=1.0)
    give(p, optimizer, 3.0)
    give(p, optimizer, 0.8)
    q, other = build(F0=1.0)
    other.load_state_dict(optimizer.state_dict())
    assert other.report() == optimizer.report()
    assert give(q, other, 0.8)["updates"] == 2
