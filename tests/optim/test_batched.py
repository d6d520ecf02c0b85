"""Batched optimizers: random hyperparameters row by row, float32, and reports."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecd_tune.optim.batched.ecdsep import BatchedECDSep
from ecd_tune.optim.ecdsep import ECDSep

ROW = st.fixed_dictionaries(
    {
        "lr": st.floats(1e-4, 0.3),
        "eta": st.floats(1.0, 5.0),
        "nu": st.sampled_from([0.0, 1e-3, 0.5]),
        "F0": st.sampled_from([0.0, -1.0, 0.7]),
        "s": st.sampled_from([0, 1]),
        "delta_energy": st.floats(0.1, 5.0),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "decoupled_weight_decay": st.booleans(),
        "conserve_energy": st.booleans(),
        "on_gap": st.sampled_from(["hold", "stop", "shift"]),
        "eps2": st.sampled_from([0.0, 1e-40, 1e-2]),
    }
)


STEPS = 12
"""Rounding differs between a batch and a single run, and chaos doubles it every step or two."""


def bowl(theta):
    return theta.square().sum(-1) + 0.5, 2 * theta


@settings(max_examples=25, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=4), st.sampled_from(["algorithm1", "sync"]))
def test_rows_and_reports_equal_single_runs(rows, integrator):
    rows = [{**row, "integrator": integrator} for row in rows]
    theta = torch.tensor([1.0, -0.7, 0.2]).double().repeat(len(rows), 1)
    batch = BatchedECDSep([theta], list(range(len(rows))), rows)
    active = torch.ones(len(rows), dtype=torch.bool)
    for _ in range(STEPS):
        loss, grad = bowl(theta)
        batch.step(loss, [grad], active)
    report = batch.report()
    for b, row in enumerate(rows):
        p = torch.nn.Parameter(torch.tensor([1.0, -0.7, 0.2]).double())
        single = ECDSep([p], seed=b, **row)
        for _ in range(STEPS):
            loss, p.grad = bowl(p.detach())
            single.step(loss=loss)
        torch.testing.assert_close(theta[b], p.detach(), rtol=1e-9, atol=1e-9)
        alone = single.report()
        for key in ("updates", "held", "converged_steps", "unreachable", "stopped"):
            assert report[key][b].item() == alone[key], key
        assert abs(report["F0"][b].item() - alone["F0"]) < 1e-12


def test_float32_rows_equal_single_runs():
    rows = [{"eta": 2.0, "lr": 0.05, "nu": 0.1, "s": s, "weight_decay": 0.01} for s in (0, 1)]
    theta = torch.ones(2, 3)
    batch = BatchedECDSep([theta], [0, 1], rows)
    for _ in range(30):
        loss, grad = bowl(theta)
        batch.step(loss, [grad], torch.ones(2, dtype=torch.bool))
    assert theta.dtype == torch.float32
    for b, row in enumerate(rows):
        p = torch.nn.Parameter(torch.ones(3))
        single = ECDSep([p], seed=b, **row)
        for _ in range(30):
            loss, p.grad = bowl(p.detach())
            single.step(loss=loss)
        torch.testing.assert_close(theta[b], p.detach(), rtol=1e-4, atol=1e-5)


def test_a_stopped_row_stays_frozen_when_its_loss_rises_again():
    rows = [{"eta": 2.0, "lr": 0.1, "on_gap": on_gap} for on_gap in ("stop", "hold")]
    theta = torch.ones(2, 3, dtype=torch.float64)
    batch = BatchedECDSep([theta], [0, 1], rows)
    active = torch.ones(2, dtype=torch.bool)
    places = []
    for loss in (3.0, 2.5, -1.0, 2.0, 1.5):
        batch.step(torch.full((2,), loss), [2 * theta], active)
        places.append(theta.clone())
    assert torch.equal(places[1][0], places[4][0])
    assert not torch.equal(places[2][1], places[4][1])
    assert batch.report()["stopped"].tolist() == [True, False]
    assert batch.report()["held"].tolist() == [1, 1]
    assert batch.report()["updates"].tolist() == [2, 4]
