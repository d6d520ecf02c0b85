"""ECDSep and ECDq1 make their steps with the kernels, with equal results."""

from __future__ import annotations

import pytest
import torch

from ecd_tune.optim import ECDq1, ECDSep, ECDSepF0
from ecd_tune.optim.fused import plan

F64 = torch.float64


@pytest.fixture(autouse=True)
def _kernels_on_the_cpu_too(monkeypatch):
    monkeypatch.setitem(plan.FORMS, "cpu", "ecd_tune.optim.fused.gpu")


def parameters(device, dtype):
    generator = torch.Generator().manual_seed(1)
    draws = [torch.randn(s, generator=generator, dtype=F64) for s in [(9, 5), (7,), ()]]
    return [torch.nn.Parameter(d.to(device, dtype)) for d in draws]


def loss_of(params):
    return sum((p.double().square() * (k + 1)).sum() for k, p in enumerate(params)) / 2


def train(optimizer, params, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(params)
        if optimizer.param_groups[0]["maximize"]:
            loss = -loss
        loss.backward()
        optimizer.step(loss=loss)


CASES = {
    "ecdsep": (ECDSep, {"lr": 0.2, "eta": 2.0, "nu": 0.05}),
    "sync": (ECDSep, {"lr": 0.2, "eta": 2.0, "nu": 0.05, "integrator": "sync"}),
    "decay": (ECDSep, {"lr": 0.2, "eta": 2.0, "weight_decay": 0.1, "maximize": True}),
    "algorithm 2": (ECDSepF0, {"lr": 0.2, "eta": 3, "F0": 10.0}),
    "ecdq1": (ECDq1, {"lr": 0.2, "eta": 9.0, "nu": 0.3}),
    "first order": (ECDq1, {"lr": 0.2, "eta": 9.0, "nu": 0.3, "flow": "first_order"}),
    "moments": (ECDSep, {"lr": 0.2, "eta": 2.0, "scale": "moments", "weight_decay": 0.1}),
    "moments sync": (ECDq1, {"lr": 0.2, "nu": 0.3, "scale": "moments", "integrator": "sync"}),
}  # fmt: skip


SLOW = ("decay", "algorithm 2", "first order", "moments sync")
"""Of these, test_step.py has the kernels."""


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if c in SLOW else ()) for c in CASES]
)
def test_both_forms_match(device, case):
    kind, values = CASES[case]
    made = []
    for fused in (True, False):
        params = parameters(device, F64)
        optimizer = kind(params, seed=3, fused=fused, **values)
        train(optimizer, params, 19 if values.get("scale") else 5)  # shares are fixed after 16
        made.append((params, optimizer))
    (mine, fused), (theirs, other) = made
    report, expected = fused.report(), other.report()
    assert report.pop("form") == "fused"
    assert expected.pop("form") == "reference"
    assert report.pop("form_reason") is None
    expected.pop("form_reason")
    assert report.pop("remarks") == expected.pop("remarks")
    assert report.pop("scales", None) == expected.pop("scales", None)
    assert {k for k, v in report.items() if v is None} == {
        k for k, v in expected.items() if v is None
    }
    known = {k: v for k, v in expected.items() if v is not None}
    assert {k: report[k] for k in known} == pytest.approx(known, rel=1e-12)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    if kind in (ECDSep, ECDq1):
        seen, known = fused.diagnostics(), other.diagnostics()
        assert seen == pytest.approx(known, rel=1e-9, nan_ok=True)


def test_changing_learning_rates_gradients_and_groups(device):
    made = []
    for fused in (True, False):
        params = parameters(device, F64)
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.1, "scale": 2.0}]
        optimizer = ECDSep(groups, lr=0.2, eta=2.0, nu=0.05, seed=3, fused=fused)
        train(optimizer, params, 2)
        optimizer.param_groups[0]["lr"] = 0.05
        train(optimizer, params, 1)
        params[1].requires_grad_(False)  # leaves
        train(optimizer, params, 2)
        params[1].requires_grad_(True)  # and comes back
        optimizer.diagnostics()
        train(optimizer, params, 2)
        made.append((params, optimizer.diagnostics()))
    for a, b in zip(made[0][0], made[1][0], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
    assert made[0][1] == pytest.approx(made[1][1], rel=1e-9, nan_ok=True)


def test_resumed_run_is_bit_equal(device):
    params = parameters(device, torch.float32)
    optimizer = ECDSep(params, lr=0.2, eta=2.0, nu=0.05, seed=3, fused=True)
    train(optimizer, params, 3)
    others = [torch.nn.Parameter(p.detach().clone()) for p in params]
    loaded = ECDSep(others, lr=0.1, eta=2.0, nu=0.05, seed=4, fused=True)
    loaded.load_state_dict(optimizer.state_dict())
    train(optimizer, params, 2)
    train(loaded, others, 2)
    assert all(map(torch.equal, params, others))
    assert loaded.report() == optimizer.report()
