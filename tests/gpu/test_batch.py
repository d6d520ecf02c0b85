"""Many runs in one step: each matches the reference of its own run."""

from __future__ import annotations

import pytest
import torch
from runs import Fused, Reference

from ecd_tune.optim.batched import fused as batched_fused
from ecd_tune.optim.batched.ecdsep import BatchedECDSep
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from ecd_tune.optim.fused import plan
from ecd_tune.optim.fused.triton_step import TritonStep
from ecd_tune.optim.fused.triton_tables import rule_constants

GPU_FORM = "ecd_tune.optim.fused.gpu"
SHAPES = [(9, 5), (7,), (30,)]
OWN = {
    "ecdsep": [
        {"eta": 2.0, "lr": 0.1, "nu": 0.05, "on_gap": "hold"},
        {"eta": 3.0, "lr": 0.2, "nu": 0.0, "s": 0, "weight_decay": 0.1, "on_gap": "stop"},
        {"eta": 1.5, "lr": 0.3, "nu": 0.5, "on_gap": "shift", "conserve_energy": False,
         "delta_energy": 0.3},
    ],
    "ecdq1": [
        {"eta": 20.0, "lr": 0.1, "nu": 0.3},
        {"eta": 50.0, "lr": 0.2, "nu": 0.0, "weight_decay": 0.1},
        {"eta": 9.0, "lr": 0.3, "nu": 1.0},
    ],
}  # fmt: skip


def batch_of(runs, device, dtype):
    """Return parameters, momenta, scalars and the kernels of runs that have started."""
    theta, momenta, scalars = (
        [torch.stack(parts).to(device) for parts in zip(*columns, strict=True)]
        for columns in (
            [r.theta for r in runs],
            [r.e for r in runs],
            [r.scalars() for r in runs],
        )
    )
    named = [rule_constants(r.rules) for r in runs]
    constants = {
        name: torch.stack([
            torch.as_tensor(0.0 if c[name] is None else c[name], dtype=torch.float64)
            for c in named
        ])
        for name in named[0]
    }  # fmt: skip
    wd = [r.wd or [0.0] * len(SHAPES) for r in runs]
    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*wd, strict=True)]
    lr = [torch.tensor(c, dtype=torch.float64) for c in zip(*(r.lr for r in runs), strict=True)]
    first = runs[0]
    kernels = TritonStep(
        theta, momenta, constants, unit=first.unit, sync=first.rules.integrator == "sync",
        chaotic=any(r.rules.chaotic for r in runs), floats=scalars[0], ints=scalars[1],
        flags=scalars[2], begins=first.begins, total=first.total, seeds=[r.seed for r in runs],
        step=first.number, lr=lr, weight_decay=columns,
    )  # fmt: skip
    return theta, momenta, scalars, kernels


@pytest.mark.parametrize(
    ("name", "integrator"),
    [
        ("ecdsep", "algorithm1"),
        ("ecdq1", "sync"),
        pytest.param("ecdsep", "sync", marks=pytest.mark.slow),
        pytest.param("ecdq1", "algorithm1", marks=pytest.mark.slow),
    ],
)
def test_runs_are_independent(device, name, integrator):
    dtype = torch.float64
    runs = [
        Reference(name, SHAPES, dtype, seed=seed, integrator=integrator, **own)
        for seed, own in zip([5, -6, 2**62], OWN[name], strict=True)
    ]
    for run in runs:
        run.step()
    theta, momenta, scalars, kernels = batch_of(runs, device, dtype)
    for number in range(3):
        if number == 1:
            runs[0].offset = runs[1].offset = runs[2].offset = -1e3
        if number == 2:
            runs[0].offset = runs[1].offset = runs[2].offset = 0.0
        given = [run.loss([block[row].cpu() for block in theta]) for row, run in enumerate(runs)]
        loss = torch.stack([one[0] for one in given]).to(device)
        grads = [torch.stack(g).to(device) for g in zip(*(one[1] for one in given), strict=True)]
        kernels.step(loss, grads)
        for run in runs:
            run.step()
    for row, run in enumerate(runs):
        fused = Fused.__new__(Fused)
        fused.theta, fused.momenta = [t[row] for t in theta], [m[row] for m in momenta]
        floats, ints, flags = run.scalars()
        assert scalars[1][row].tolist() == ints.tolist()
        assert scalars[2][row].tolist() == flags.tolist()
        torch.testing.assert_close(scalars[0][row].cpu(), floats, rtol=1e-12, atol=1e-12)
        for mine, theirs in zip(fused.theta, run.theta, strict=True):
            torch.testing.assert_close(mine.cpu(), theirs, rtol=1e-12, atol=1e-12)
        for mine, theirs in zip(fused.directions(), run.e, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_inactive_run_keeps_every_bit(device):
    runs = [Reference("ecdsep", SHAPES, torch.float32, seed=s, eta=2.0, lr=0.1) for s in (1, 2)]
    for run in runs:
        run.step()
    theta, momenta, scalars, kernels = batch_of(runs, device, torch.float32)
    before = [t[1].clone() for t in (*theta, *momenta, *scalars)]
    loss = torch.tensor([20.0, torch.nan], dtype=torch.float64, device=device)
    grads = [torch.ones_like(t) for t in theta]
    for g in grads:
        g[1] = torch.inf
    active = torch.tensor([True, False], device=device)
    moved = theta[0][0].clone()
    kernels.step(loss, grads, active)
    assert all(map(torch.equal, before, [t[1] for t in (*theta, *momenta, *scalars)]))
    assert not torch.equal(moved, theta[0][0])


@pytest.mark.parametrize(
    ("kind", "scale"),
    [
        (BatchedECDSep, "moments"),
        (BatchedECDq1, 1.0),
        pytest.param(BatchedECDSep, 1.0, marks=pytest.mark.slow),
        pytest.param(BatchedECDq1, "moments", marks=pytest.mark.slow),
    ],
)
def test_batched_optimizers_use_the_kernels(device, monkeypatch, kind, scale):
    rows = [{"lr": 0.1, "eta": 2.0, "nu": nu, "scale": scale} for nu in (0.0, 0.1)]
    ends = []
    for forms in ({"cpu": GPU_FORM, "cuda": GPU_FORM}, {}):
        monkeypatch.setattr(plan, "FORMS", forms)
        monkeypatch.setattr(batched_fused, "FORMS", forms)
        generator = torch.Generator().manual_seed(2)
        draws = [torch.randn(2, *s, generator=generator).double() for s in [(9, 5), (7,)]]
        batch = kind([d.to(device) for d in draws], [5, 6], rows)
        active = torch.tensor([True, True], device=device)
        for step in range(20 if scale == "moments" else 5):
            active[1] = step % 4 != 3
            loss = 1 + sum(t.square().reshape(2, -1).sum(1) for t in batch.params)
            batch.step(loss, [2 * t for t in batch.params], active)
        assert (batch._plan is not None) == bool(forms)
        found = batch.diagnostics()
        ends.append((batch.params, [found[k] for k in ("steps", "gap", "bounce_angle")]))
    for mine, theirs in zip(*(blocks for blocks, _ in ends), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)
    for mine, theirs in zip(*(numbers for _, numbers in ends), strict=True):
        torch.testing.assert_close(mine.double(), theirs.double(), rtol=1e-9, atol=1e-9)
