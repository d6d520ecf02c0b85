"""Diagnostics and measurements of ECDq1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ecd_tune.measurements import RunMeasurements
from ecd_tune.optim import ECDq1
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from ecd_tune.optim.monitoring.run_measurer import RunMeasurer
from ecd_tune.optim.monitoring.step_recorder import StepRecorder
from ecd_tune.theory import Basin, bounce_angle, bounce_cosine, unit_speed_eta
from tests.optim.test_diagnostics import F_MIN as FLOOR
from tests.optim.test_diagnostics import N as SIZE
from tests.optim.test_diagnostics import _Passes, bowl, start

KINDS = [(i, f) for i in ("algorithm1", "sync") for f in ("exact", "first_order")]
each_kind = pytest.mark.parametrize(("integrator", "flow"), KINDS)


def run(optimizer: ECDq1, p: torch.nn.Parameter, steps: int) -> dict[str, np.ndarray]:
    """Make steps, and write down what can be seen from outside."""
    rows = []
    for _ in range(steps):
        before = p.detach().clone()
        loss, p.grad = bowl(before)
        optimizer.step(loss=loss)
        moved = p.detach() - before
        after = optimizer.state[p]["direction"]
        cosine = moved @ after / moved.norm()
        rows.append((loss, moved.norm(), before @ p.grad, before @ before, cosine))
    names = ("loss", "moved", "pull", "square", "cosine")
    return dict(zip(names, torch.tensor(rows, dtype=torch.float64).T.numpy(), strict=True))


@each_kind
@pytest.mark.parametrize("wait", [True, False])
def test_numbers_match_an_external_calculation(wait: bool, integrator: str, flow: str) -> None:
    p, eta, F0 = start(), 4.0, 0.25
    options = {"lr": 0.1, "eta": eta, "F0": F0, "integrator": integrator, "flow": flow}
    optimizer = ECDq1([p], conserve_energy=False, wait=wait, **options)
    seen = run(optimizer, p, 60)
    found = optimizer.diagnostics(F_min=FLOOR)
    gap, speed = seen["loss"] - F0, seen["moved"] * math.sqrt(eta) / 0.1
    assert found.pop("steps") == 60
    assert (found.pop("share_held"), found.pop("bounce_angle")) == (0, 0)
    assert found == pytest.approx(
        {
            "speed_drift": math.sqrt(np.mean(np.log(speed) ** 2)),
            "gap": gap.mean(),
            "speed": speed.mean(),
            "predicted_gap": plateau(eta, F0),
            "implied_minimum": F0 + (1 - 1 / eta) / np.mean(1 / gap),
        },
        rel=1e-9,
        abs=1e-12,
    )
    assert (found["speed_drift"] > 1e-5) is (flow == "first_order")


def plateau(eta: float, F0: float) -> float:
    """E[F − F0] of the law ∝ (F − F0)^{−ηn/2}."""
    law = Basin(SIZE, eta, F_min=FLOOR, F0=F0, curvature=1.0, F_init=5.0, s=0, delta_energy=1.0)
    return FLOOR - F0 + float(law.plateau_gap())


def test_with_conservation_the_drift_is_that_of_one_kick_of_first_order() -> None:
    """|p'|² = 1 + δ² sin² for a kick δ at right angles and a |p| of 1; the speed stays 1."""
    p = torch.nn.Parameter(torch.tensor([1.0, 0.0], dtype=torch.float64))
    optimizer = ECDq1([p], lr=0.2, eta=4.0, flow="first_order")
    p.grad = torch.tensor([0.0, 3.0], dtype=torch.float64)
    optimizer.step(loss=1.0)  # p is −∇F already, which no kick turns
    p.grad = torch.tensor([1.5, 0.0], dtype=torch.float64)
    optimizer.step(loss=1.0)
    found = optimizer.diagnostics()
    delta = 0.5 * 0.2 * 2.0 * 2 * 1.5
    drift = 0.5 * math.log(1 + delta**2)
    assert found["speed_drift"] == pytest.approx(drift / math.sqrt(2), rel=1e-12)
    assert found["speed"] == 1


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_on_a_plateau_the_law_gives_minimum_gap_and_angle(integrator: str) -> None:
    nu, eta, F0, rows = 1.0, 3.0, 0.5, 60
    values = {"lr": 0.1, "eta": eta, "nu": nu, "F0": F0, "integrator": integrator}
    theta = 0.15 * torch.randn(rows, SIZE, generator=torch.Generator().manual_seed(1)).double()
    batch = BatchedECDq1([theta], list(range(rows)), [values] * rows)
    for _ in range(2):
        batch.diagnostics()  # forgets the way to the plateau
        for _ in range(500):
            loss, gradient = bowl(theta)
            batch.step(loss, [gradient], torch.ones(rows, dtype=torch.bool))
    found = batch.diagnostics(F_min=FLOOR)
    cosine = 1.0 if integrator == "sync" else float(bounce_cosine(SIZE, nu / math.sqrt(SIZE)))
    predicted = plateau(2 * eta / (1 + cosine), F0)
    np.testing.assert_allclose(found["predicted_gap"].numpy(), predicted, rtol=1e-12)
    assert found["gap"].mean().item() == pytest.approx(predicted, rel=0.03)
    assert found["implied_minimum"].mean().item() == pytest.approx(FLOOR, rel=0.02)
    angle = bounce_angle(SIZE, nu / math.sqrt(SIZE))
    assert found["bounce_angle"].mean().item() == pytest.approx(angle, rel=0.01)
    assert (found["speed"] - 1).abs().max().item() < 1e-12


@each_kind
def test_rows_of_a_batch_match_single_runs(integrator: str, flow: str) -> None:
    same = {"integrator": integrator, "flow": flow}
    rows: list[dict[str, Any]] = [
        {"lr": 0.1, "eta": 2.0, "nu": 0.5, "F0": 0.5, **same},
        {"lr": 0.3, "eta": 30.0, "nu": 0.0, "weight_decay": 0.1, **same},
        {"lr": 0.3, "eta": 5.0, "nu": 2.0, "F0": 1e4, **same},
    ]
    theta = start().detach().repeat(3, 1)
    batch, measurer = BatchedECDq1([theta], [4, 5, 6], rows), RunMeasurer(20, 3)
    batch.watch(measurer)
    for _ in range(20):
        loss, gradient = bowl(theta)
        batch.step(loss, [gradient], torch.ones(3, dtype=torch.bool))
    together, measured = batch.diagnostics(F_min=FLOOR), measurer.read()
    for b, row in enumerate(rows):
        p, own = start(), RunMeasurer(20)
        alone = ECDq1([p], seed=4 + b, **row)
        alone.watch(own)
        run(alone, p, 20)
        found = {name: column[b].item() for name, column in together.items()}
        assert found == pytest.approx(alone.diagnostics(F_min=FLOOR), rel=1e-9, nan_ok=True)
        (expected,), row_found = own.read(), measured[b]
        if expected is None or row_found is None:
            assert (expected, row_found, b) == (None, None, 2)
        else:
            assert row_found.to_metrics() == pytest.approx(expected.to_metrics(), rel=1e-9)
    assert together["share_held"].tolist() == [0, 0, 1]


def test_sums_are_restored_and_reset() -> None:
    def make() -> tuple[ECDq1, torch.nn.Parameter]:
        p = start()
        return ECDq1([p], lr=0.2, eta=5.0, nu=0.5, seed=3), p

    whole, p = make()
    run(whole, p, 40)
    first, q = make()
    run(first, q, 25)
    second, r = make()
    with torch.no_grad():
        r.copy_(q)
    second.load_state_dict(first.state_dict())
    run(second, r, 15)
    expected, found = whole.diagnostics(reset=False), second.diagnostics()
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert (found["steps"], whole.diagnostics()["steps"]) == (40, 40)
    assert whole.diagnostics()["steps"] == 0


@pytest.mark.parametrize("foreach", [False, True])
@each_kind
def test_no_additional_pass_over_the_parameters(
    monkeypatch: pytest.MonkeyPatch, foreach: bool, integrator: str, flow: str
) -> None:
    def passes() -> Any:
        p = start()
        options = {"integrator": integrator, "flow": flow, "foreach": foreach}
        optimizer = ECDq1([p], lr=0.2, eta=5.0, nu=0.5, weight_decay=0.1, seed=3, **options)
        with _Passes() as counted:
            for _ in range(30):
                loss, p.grad = bowl(p.detach())
                optimizer.step(loss=loss)
            optimizer.diagnostics()
        return counted.counts

    watched = passes()
    monkeypatch.setattr(StepRecorder, "on_step", lambda self, step: None)
    assert watched == passes()


# ------------------------------------------------------------------------ measured


def test_measurements_are_those_of_the_recorded_trajectory() -> None:
    p, steps, eta, wd, F0 = start(), 60, 4.0, 0.2, 0.3
    optimizer = ECDq1([p], lr=0.2, eta=eta, nu=0.7, F0=F0, weight_decay=wd, seed=1)
    measurer = RunMeasurer(steps)
    optimizer.watch(measurer)
    seen = run(optimizer, p, steps)
    total = seen["loss"] + 0.5 * wd * seen["square"]
    gap = total - F0
    block = 20 * np.arange(steps) // steps
    tail = block >= 8
    means = [np.mean(1 / gap[block == b]) for b in range(8, 20)]
    logs = [np.log(gap[(block >= b) & (block < b + 4)]).mean() for b in (8, 12, 16)]
    expected = RunMeasurements(
        n=SIZE,
        steps=steps,
        log_energy=eta * math.log(gap[-1]),
        loss_init=total[0],
        F0=F0,
        s=0,
        delta_energy=1.0,
        weight_decay=wd,
        conserve_energy=1,
        sync=0,
        cos_bounce=seen["cosine"].mean(),
        max_step_over_lr=1.0,
        share_hazard=0.0,
        tail_loss=total[tail].mean(),
        tail_inverse_gap=np.mean(1 / gap[tail]),
        tail_inverse_gap_se=np.std(means, ddof=1) / math.sqrt(12),
        tail_virial=0.5 * np.mean((eta * (seen["pull"] + wd * seen["square"]) / gap)[tail]),
        tail_w=1.0,
        tail_log_gap_1=logs[0],
        tail_log_gap_2=logs[1],
        tail_log_gap_3=logs[2],
        unit_speed=1,
    )
    (found,) = measurer.read()
    assert found is not None
    assert found.to_metrics() == pytest.approx(expected.to_metrics(), rel=1e-9)
    assert found.max_step_over_lr <= 1


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_the_measured_virial_is_that_of_the_law(integrator: str) -> None:
    """S6: ½⟨Θ·G⟩ = η/η_eff on a quadratic; S7: the mean cosine is λ."""
    nu, eta, rows = 2.0, 3.0, 100
    values = {"lr": 0.2, "eta": eta, "nu": nu, "integrator": integrator}
    theta: Tensor = 0.15 * torch.randn(rows, SIZE, generator=torch.Generator().manual_seed(1))
    theta = theta.double()
    batch, measurer = (
        BatchedECDq1([theta], list(range(rows)), [values] * rows),
        RunMeasurer(800, rows),
    )
    batch.watch(measurer)
    for _ in range(800):
        loss, gradient = bowl(theta)
        batch.step(loss, [gradient], torch.ones(rows, dtype=torch.bool))
    found = [row for row in measurer.read() if row is not None]
    assert len(found) == rows
    share = eta / float(unit_speed_eta(eta, SIZE, nu / math.sqrt(SIZE), integrator))
    assert np.mean([row.tail_virial for row in found]) == pytest.approx(share, rel=0.03)
    cosine = float(bounce_cosine(SIZE, nu / math.sqrt(SIZE)))
    assert np.mean([row.cos_bounce for row in found]) == pytest.approx(cosine, rel=0.01)
