"""The flow of a unit momentum in a field of force: exact, or to first order."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.optim.unit_speed.isokinetic import flow_exact, flow_first_order

FLOWS = ("exact", "first_order")
SINGLE = Algebra()


def pair(theta, dtype=torch.float64):
    """Return p at an angle to the direction a of the first axis, cut in two, and the force −a."""
    p = torch.tensor([math.cos(theta), 0.6 * math.sin(theta), 0.8 * math.sin(theta)], dtype=dtype)
    a = torch.tensor([1.0, 0.0, 0.0], dtype=dtype)
    return [p[:2], p[2:]], [-a[:2], -a[2:]]


def angle(p):
    p = torch.cat(p).double()
    return math.atan2(float(p[1:].norm()), float(p[0]))


def flown(theta, delta, flow="exact", dtype=torch.float64):
    e, force = pair(theta, dtype)
    one = torch.ones((), dtype=torch.float64)
    log_delta = torch.tensor(delta, dtype=torch.float64).log()
    if flow == "exact":
        return flow_exact(SINGLE, e, force, one, log_delta)
    return flow_first_order(SINGLE, e, 0 * one, force, one, log_delta)[0]


@pytest.mark.parametrize("theta", [1e-6, 0.1, 1.0, 2.0, 3.0, math.pi - 1e-3])
@pytest.mark.parametrize("delta", [1e-12, 1e-3, 1.0, 15.0, 40.0, 700.0, 1e5])
def test_the_exact_flow_is_right_for_small_and_large_kicks(theta, delta):
    """tan ½θ' = e^{−δ} tan ½θ, and the change is as exact as the angle itself."""
    expected = 2 * math.atan(math.exp(-delta) * math.tan(theta / 2))
    assert angle(flown(theta, delta)) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert float(torch.cat(flown(theta, delta)).norm()) == pytest.approx(1.0, abs=1e-15)


def test_small_kicks_do_not_cancel():
    e, _ = pair(1.0)
    change = (torch.cat(flown(1.0, 1e-9)) - torch.cat(e)) / 1e-9
    expected = torch.tensor([1.0, 0, 0]) - math.cos(1.0) * torch.cat(e)
    torch.testing.assert_close(change, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("delta", [1.0, 30.0, 1e5, math.inf])
@pytest.mark.parametrize("flow", FLOWS)
def test_momentum_against_the_force_is_unchanged(flow, delta, dtype):
    """An unstable balance: no rounding makes a momentum of norm 0 of it."""
    e = [torch.tensor([-1.0, 0.0], dtype=dtype), torch.zeros(1, dtype=dtype)]
    force = [-torch.tensor([1.0, 0.0], dtype=dtype), torch.zeros(1, dtype=dtype)]
    one = torch.ones((), dtype=torch.float64)
    log_delta = torch.tensor(delta, dtype=torch.float64).log()
    if flow == "exact":
        after = flow_exact(SINGLE, e, force, one, log_delta)
    else:
        after, _ = flow_first_order(SINGLE, e, 0 * one, force, one, log_delta)
    assert torch.cat(after).tolist() == pytest.approx([-1.0, 0.0, 0.0], abs=1e-7)


def test_float32_leaves_the_unstable_direction():
    after = flown(math.pi - 1e-3, 30.0, dtype=torch.float32)
    assert angle(after) < 1e-3


@pytest.mark.parametrize("theta", [0.4, 1.3, 2.6])
@pytest.mark.parametrize("delta", [0.01, 1.0, 8.0])
def test_the_exact_flow_conserves_energy_in_a_constant_field(theta, delta):
    """Π across the force stays, so that |Π'|/|Π| = sin θ/sin θ'; V falls as exp(−2∫p·a dδ)."""
    nodes, weights = np.polynomial.legendre.leggauss(60)

    def energy_error(flow):
        along = [math.cos(angle(flown(theta, t, flow))) for t in 0.5 * delta * (nodes + 1)]
        log_V = -delta * float(weights @ np.array(along))
        log_p = math.log(math.sin(theta) / math.sin(angle(flown(theta, delta, flow))))
        return abs(log_V + 2 * log_p)

    assert energy_error("exact") < 1e-11
    assert energy_error("first_order") > 1e-7


def test_both_flows_agree_to_second_order():
    """They differ by ½δ² |cos θ| sin θ, which is what the docstring says."""
    theta = 1.1
    for delta in (1e-2, 1e-3):
        gap = torch.cat(flown(theta, delta)) - torch.cat(flown(theta, delta, "first_order"))
        expected = 0.5 * delta**2 * math.cos(theta) * math.sin(theta)
        assert float(gap.norm()) == pytest.approx(expected, rel=3 * delta)


def test_two_kicks_in_a_row_are_one_for_the_exact_flow_only():
    e, force = pair(2.0)
    one = torch.ones((), dtype=torch.float64)
    half = torch.tensor(0.7, dtype=torch.float64).log()
    twice = flow_exact(SINGLE, flow_exact(SINGLE, e, force, one, half), force, one, half)
    torch.testing.assert_close(torch.cat(twice), torch.cat(flown(2.0, 1.4)), rtol=0, atol=1e-15)
