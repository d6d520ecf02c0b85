"""ECD at unit speed: robustness of runs, and parameters that are added or removed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecd_tune.errors import HyperparameterError, NonFiniteLossError
from ecd_tune.optim import ECDq1
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from tests.optim.test_asynchronous_steps import no_reading

INTEGRATORS, FLOWS = ("algorithm1", "sync"), ("exact", "first_order")
each_kind = pytest.mark.parametrize(
    ("integrator", "flow"), [(i, f) for i in INTEGRATORS for f in FLOWS]
)


def parameters(*parts):
    return [torch.nn.Parameter(torch.from_numpy(np.array(part))) for part in parts]


# --- what a run survives


def bowl(params, offset=0.5):
    return sum((p.square().sum() * (i + 1) for i, p in enumerate(params)), torch.tensor(offset))


def start(dtype=torch.float64):
    torch.manual_seed(1)
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((3, 2), (4,))]


def test_held_steps_change_nothing_and_are_counted():
    """Also at a gap of exactly ε2; p is set with the first step that is made."""
    p = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = ECDq1([p], F0=2.0, eps2=0.25, nu=0.3, seed=1)
    p.grad = torch.ones_like(p)
    for loss, converged in ((1.0, False), (2.25, True), (2.0, False)):
        optimizer.step(loss=loss)
        assert optimizer.report()["converged"] is converged
        assert p.tolist() == [1.0, 1.0]
        assert optimizer.state[p]["direction"].tolist() == [0.0, 0.0]
    optimizer.step(loss=2.3)
    before, e = p.detach().clone(), optimizer.state[p]["direction"].clone()
    assert before.tolist() != [1.0, 1.0]
    optimizer.step(loss=1.9)
    assert torch.equal(p, before)
    assert torch.equal(optimizer.state[p]["direction"], e)
    counts = {k: optimizer.report()[k] for k in ("steps", "updates", "held", "bad_gradients")}
    assert counts == {"steps": 5, "updates": 1, "held": 4, "bad_gradients": 0}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_skips_the_step(value):
    p = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = ECDq1([p])
    for grad in ([1.0, 2.0], [1.0, value], [1.0, 2.0]):
        before = p.detach().clone()
        p.grad = torch.tensor(grad, dtype=torch.float64)
        optimizer.step(loss=3.0)
        assert torch.equal(p, before) is not math.isfinite(grad[1])
    assert optimizer.report()["bad_gradients"] == 1
    assert optimizer.report()["updates"] == 2


def losses(params, step):
    """A bowl; at step 5 below F0, at step 8 with a gradient that is not finite."""
    loss = bowl(params, 0.0)
    if step == 5:
        loss = loss * 0 - 1.0
    if step == 8:
        loss = loss + (params[0][0, 0] - params[0][0, 0].detach()).abs().sqrt()
    return loss


def run(wait, steps=30, dtype=torch.float64, bad=None, **more):
    params = start(dtype)
    optimizer = ECDq1(params, lr=0.3, eta=4.0, weight_decay=1e-3, seed=4, wait=wait, **more)
    for step in range(steps):
        optimizer.zero_grad()
        loss = losses(params, step)
        loss.backward()
        optimizer.step(loss=loss * math.nan if step == bad else loss)
    return params, optimizer


@each_kind
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_asynchronous_steps_are_equal(dtype, integrator, flow):
    more = {"nu": 0.1, "integrator": integrator, "flow": flow}
    watched, one = run(True, dtype=dtype, **more)
    unwatched, other = run(False, dtype=dtype, **more)
    assert all(torch.equal(a, b) for a, b in zip(watched, unwatched, strict=True))
    assert one.report() == other.report()
    assert one.report()["updates"] == 28


def test_asynchronous_steps_do_not_synchronize(monkeypatch):
    params, optimizer = run(False, steps=3, fused=False)  # the form that a GPU shares
    loss = losses(params, 3)
    loss.backward()
    with no_reading(monkeypatch):
        optimizer.step(loss=loss)


def test_a_loss_that_is_not_finite_raises_at_once_or_up_to_16_steps_later():
    with pytest.raises(NonFiniteLossError, match="step 3"):
        run(True, bad=3)
    with pytest.raises(NonFiniteLossError, match=r"step 3 .*found at step 16"):
        run(False, bad=3)
    _, optimizer = run(False, bad=3, steps=10)
    assert optimizer.report()["updates"] == 7


def test_huge_gap_tiny_gap_and_float32():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = ECDq1([p], lr=1.0, eta=100.0, eps2=0.0)
    for loss in (1e30, 1.0, 1e-18, 1e-36):
        before = p.detach().clone()
        p.grad = loss * torch.tensor([1.0, -2.0, 0.5])
        optimizer.step(loss=loss)
        assert float((p.detach() - before).norm()) == pytest.approx(0.1, rel=1e-5)


def test_single_element_does_not_turn():
    """It goes straight on, uphill too, and turns only where ν̂ turns it."""
    p = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = ECDq1([p], lr=0.5, eta=4.0)
    for _ in range(8):
        p.grad = 2 * p.detach()
        optimizer.step(loss=p.item() ** 2 + 1)
    assert p.item() == pytest.approx(1.0 - 8 * 0.25)


# --- parameters that come and go


def flat_step(optimizer, params, present):
    """Step with gradients of zero, so that nothing but coming and going changes p."""
    before = [p.detach().clone() for p in params]
    for p, here in zip(params, present, strict=True):
        p.grad = torch.zeros_like(p) if here else None
    optimizer.step(loss=1.0)
    return [p.detach() - old for p, old in zip(params, before, strict=True)]


@pytest.mark.parametrize("flow", FLOWS)
def test_returning_parameter_gets_its_momentum_back(flow):
    params = parameters([1.0, 0.0], [0.0, 0.0, 0.0], [0.5])
    optimizer = ECDq1(params, lr=1.0, eta=4.0, flow=flow)
    for p, grad in zip(params, ([3.0, 0.0], [0.0, -4.0, 0.0], [12.0]), strict=True):
        p.grad = torch.tensor(grad, dtype=torch.float64)
    optimizer.step(loss=1.0)
    whole = flat_step(optimizer, params, (True, True, True))
    torch.testing.assert_close(whole[1], torch.tensor([0, 0.5 * 4 / 13, 0]).double())
    for present in ((True, False, True), (False, True, True), (True, False, False)):
        moved = flat_step(optimizer, params, present)
        assert float(torch.cat(moved).norm()) == pytest.approx(0.5)  # the speed is 1 all the same
        for part, here in zip(moved, present, strict=True):
            assert bool(part.any()) is here
        again = flat_step(optimizer, params, (True, True, True))
        for a, b in zip(again, whole, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-15)


def test_alternating_parameters_keep_total_momentum():
    """As in a mixture of experts: what is away and what is here make 1 together."""
    params = start()
    optimizer = ECDq1(params, lr=0.5, eta=4.0, nu=0.3, seed=2)
    for step in range(20):
        optimizer.zero_grad()
        loss = bowl(params)
        loss.backward()
        if step % 3:
            params[step % 2].grad = None
        optimizer.step(loss=loss)
        trajectory = optimizer.param_groups[0]["trajectory"]
        here = math.exp(2 * trajectory["log_p"].item())
        away = [
            float(optimizer.state[p]["direction"].norm()) ** 2
            * math.exp(2 * optimizer.state[p]["log_norm"].item())
            for p in params
            if optimizer.state[p]["log_norm"].item() < math.inf
        ]
        assert here + sum(away) == pytest.approx(1.0)


def test_without_conservation_other_momenta_are_unchanged():
    params = parameters([1.0, 0.0], [0.0, 0.0])
    optimizer = ECDq1(params, lr=1.0, eta=4.0, flow="first_order", conserve_energy=False)
    for p, grad in zip(params, ([3.0, 0.0], [0.0, 4.0]), strict=True):
        p.grad = torch.tensor(grad, dtype=torch.float64)
    optimizer.step(loss=1.0)
    moved = flat_step(optimizer, params, (True, False))
    assert float(torch.cat(moved).norm()) == pytest.approx(0.5 * 0.6)


def test_new_parameter_gets_a_share_of_the_momentum():
    params = parameters([1.0, 0.5], [0.7, 0.2])
    optimizer = ECDq1(params, lr=0.5, eta=4.0)
    for present in ((True, False), (False, True), (True, True), (True, True)):
        optimizer.zero_grad()
        loss = bowl(params)
        loss.backward()
        for p, here in zip(params, present, strict=True):
            p.grad = p.grad if here else None
        optimizer.step(loss=loss)
    shares = [float(optimizer.state[p]["direction"].norm()) for p in params]
    assert math.hypot(*shares) == pytest.approx(1.0)
    assert min(shares) > 0.1


def test_invalid_values_are_refused():
    for bad in ({"eta": 0.5}, {"nu": -1.0}, {"flow": "euler"}, {"integrator": "leapfrog"}):
        with pytest.raises(HyperparameterError, match=next(iter(bad))):
            ECDq1(start(), **bad)
    theta = [torch.ones(2, 3).double()]
    with pytest.raises(HyperparameterError, match="flow must be equal"):
        BatchedECDq1(theta, [1, 2], [{"flow": flow} for flow in FLOWS])
