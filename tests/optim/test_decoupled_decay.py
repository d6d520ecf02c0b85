"""Decoupled weight decay: its size, and its effect on the energy."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.dynamics import (
    Constants,
    advance,
    decay,
    evaluate_point,
    log_hamiltonian,
    start,
)
from ecd_tune.optim.ecdsep import ECDSep
from ecd_tune.optim.params.blocks import Algebra

CURVATURE = torch.linspace(0.3, 2.0, 6, dtype=torch.float64)
CENTRE = torch.full((6,), 0.5, dtype=torch.float64)


def bowl(theta):
    away = theta - CENTRE
    return (CURVATURE * away.square()).sum() + 1.0, 2 * CURVATURE * away


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def constants(conserve, s):
    return Constants(
        eta=number(2.0),
        nu=number(0.0),
        s=number(float(s)),
        bounded=torch.tensor(s == 1),
        F0=number(0.0),
        conserve=torch.tensor(conserve),
        log_eps1=number(-math.inf),
        log_eps2=number(-math.inf),
        log_delta=number(0.7).log(),
    )


def energy_changes(conserve, s, wd, lr, steps, integrator="sync"):
    """Run with decay; return log H − log 𝓔 of each step, and Σ −Δt wd Θ·G up to it."""
    algebra, fixed = Algebra(), constants(conserve, s)
    theta = torch.linspace(-1.0, 2.0, 6, dtype=torch.float64)
    phase, lost = None, 0.0
    found, predicted = [], []
    for _ in range(steps):
        loss, gradient = bowl(theta)
        seen = evaluate_point(algebra, [theta], loss, [gradient], [lr], None, fixed)
        if phase is None:
            phase = start(algebra, [gradient], [gradient], seen, fixed)
        (moved,), phase, info = advance(algebra, phase, seen, [lr], None, fixed, integrator)
        energy = log_hamiltonian(info.log_p, seen.log_potential, fixed.s)
        found.append(float(energy - phase.log_energy))
        predicted.append(lost)
        lost -= lr * wd * float(theta @ gradient) * 2.0 / float(seen.gap)
        theta = theta + moved + decay(algebra, [theta], [lr * wd])[0]
    return found, predicted


@settings(max_examples=10, deadline=None)
@given(
    st.floats(0.01, 3.0),
    st.floats(1e-4, 0.1),
    st.sampled_from([0, 1]),
    st.sampled_from(["algorithm1", "sync"]),
)
def test_energy_holds_to_rounding_where_momentum_is_rescaled(wd, lr, s, integrator):
    changes, _ = energy_changes(True, s, wd, lr, 60, integrator)
    assert max(map(abs, changes)) < 1e-9


@pytest.mark.parametrize("s", [0, 1])
def test_energy_follows_the_potential_where_it_is_not_rescaled(s):
    """d log H/dt = −wd Θ·G, while without decay the energy holds to second order in Δt."""
    changes, predicted = energy_changes(False, s, wd=0.2, lr=4e-3, steps=700)
    assert abs(predicted[-1]) > 0.1
    assert changes[-1] == pytest.approx(predicted[-1], rel=0.01)
    without, _ = energy_changes(False, s, wd=0.0, lr=4e-3, steps=700)
    assert max(map(abs, without)) < 1e-4


@pytest.mark.parametrize("foreach", [True, False])
def test_without_a_force_parameters_shrink_exponentially(foreach):
    """Each group with its own Δt wd; the loss, and so V, does not know of it."""
    params = [torch.nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64)) for _ in range(3)]
    groups = [
        {"params": params[:1]},
        {"params": params[1:2], "weight_decay": 0.5, "lr": 3.0},
        {"params": params[2:], "decoupled_weight_decay": False, "weight_decay": 0.0},
    ]
    optimizer = ECDSep(
        groups, lr=0.1, eta=2.0, weight_decay=0.4, decoupled_weight_decay=True, foreach=foreach
    )
    for _ in range(7):
        for p in params:
            p.grad = torch.zeros_like(p)
        optimizer.step(loss=1.5)
    for p, rate in zip(params, (0.04, 1.5, 0.0), strict=True):
        expected = torch.full_like(p, 2.0 * math.exp(-7 * rate))
        torch.testing.assert_close(p.detach(), expected, rtol=1e-13, atol=0)
    assert optimizer.report()["log_energy"] == pytest.approx(2 * math.log(1.5), rel=1e-14)


def test_both_decays_agree_to_first_order_and_one_changes_the_energy():
    """From rest, s = 1: the L² term kicks, the other moves; 𝓔 has the term in one alone."""
    ends, energies = [], []
    for decoupled in (True, False):
        p = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
        optimizer = ECDSep(
            [p], lr=1e-2, eta=1.0, nu=0.0, weight_decay=0.5, decoupled_weight_decay=decoupled
        )
        for _ in range(3):
            p.grad = torch.zeros_like(p)
            optimizer.step(loss=1.0)
        ends.append(p.item())
        energies.append(optimizer.report()["log_energy"])
    assert max(ends) < 2.0
    assert energies == pytest.approx([0.0, math.log(1.0 + 0.25 * 4.0)])


def test_non_boolean_is_refused():
    with pytest.raises(HyperparameterError, match=r"decoupled_weight_decay.*true or false"):
        ECDSep([torch.nn.Parameter(torch.ones(1))], eta=1.0, decoupled_weight_decay="yes")
