"""Measurements of a run equal numpy's on the recorded trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ecd_tune.measurements import RunMeasurements
from ecd_tune.optim import BatchedECDSep, ECDSep
from ecd_tune.optim.monitoring.run_measurer import RunMeasurer
from ecd_tune.theory import bounce_cosine, effective_eta

N = 12
SCALE = torch.linspace(0.5, 2.0, N, dtype=torch.float64)
F_MIN = 1.0


def bowl(theta: Tensor) -> tuple[Tensor, Tensor]:
    return F_MIN + (SCALE * theta.square()).sum(-1), 2 * SCALE * theta


def points(rows: int, size: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return size * torch.randn(rows, N, generator=generator, dtype=torch.float64)


def go(batch: Any, theta: Tensor, steps: int) -> None:
    for _ in range(steps):
        loss, gradient = bowl(theta.double())
        batch.step(loss, [gradient.to(theta)], torch.ones(len(theta), dtype=torch.bool))


def measure(rows: list[dict[str, Any]], steps: int) -> list[RunMeasurements]:
    theta, measurer = points(len(rows)), RunMeasurer(steps, len(rows))
    batch = BatchedECDSep([theta], list(range(len(rows))), rows)
    batch.watch(measurer)
    go(batch, theta, steps)
    found = measurer.read()
    assert None not in found
    return [row for row in found if row is not None]


ROWS: list[dict[str, Any]] = [
    {"lr": 0.03, "eta": 2.0, "nu": 0.1, "s": 0, "F0": 0.4},
    {"lr": 0.1, "eta": 3.0, "nu": 0.5, "s": 1, "delta_energy": 0.5, "weight_decay": 0.2},
    {"lr": 0.1, "eta": 1.5, "nu": 0.0, "s": 1, "delta_energy": 0.1, "conserve_energy": False},
]


@pytest.mark.parametrize(("steps", "single"), [(20, False), (260, False), (101, True)])
def test_numbers_are_those_of_the_recorded_trajectory(steps: int, single: bool) -> None:
    """Algorithm 1, whose drift goes along Π before the turn, so that angles can be seen."""
    for index, row in enumerate(ROWS):
        theta = torch.nn.Parameter(points(3)[index])
        measurer = RunMeasurer(steps)
        if single:
            optimizer: Any = ECDSep([theta], seed=index, **row)
        else:
            optimizer = BatchedECDSep([theta.detach()[None]], [index], [row])
        optimizer.watch(measurer)
        seen = []
        for _ in range(steps):
            before = theta.detach().clone()
            loss, gradient = bowl(before)
            if single:
                theta.grad = gradient
                optimizer.step(loss=loss)
                turned = optimizer.state[theta]["direction"]
            else:
                optimizer.step(loss[None], [gradient[None]], torch.ones(1, dtype=torch.bool))
                turned = optimizer._e[0][0]
            moved = theta.detach() - before
            along = moved / moved.norm()
            numbers = (loss, before @ gradient, before @ before, along @ turned, moved.norm())
            seen.append([float(x) for x in numbers])
        loss, pull, square, cosine, length = np.array(seen).T
        wd, eta = row.get("weight_decay", 0.0), row["eta"]
        total = loss + 0.5 * wd * square
        gap = total - row.get("F0", 0.0)
        log_energy = float(optimizer.report()["log_energy"])
        w = gap**eta / np.exp(log_energy)
        tail = np.array([20 * t // steps >= 8 for t in range(steps)])
        block = np.array([20 * t // steps for t in range(steps)])
        means = [np.mean(1 / gap[block == b]) for b in range(8, 20)]
        found = measurer.read()[0]
        assert found is not None
        expected = RunMeasurements(
            n=N,
            steps=steps,
            log_energy=np.log(gap[0] ** eta * (row["s"] + row.get("delta_energy", 1.0))),
            loss_init=total[0],
            F0=row.get("F0", 0.0),
            s=row["s"],
            delta_energy=row.get("delta_energy", 1.0),
            weight_decay=wd,
            conserve_energy=int(row.get("conserve_energy", True)),
            sync=0,
            cos_bounce=cosine.mean(),
            max_step_over_lr=length.max() / row["lr"],
            share_hazard=np.mean(w > 1) if row.get("conserve_energy", True) and row["s"] else 0.0,
            tail_loss=total[tail].mean(),
            tail_inverse_gap=np.mean(1 / gap[tail]),
            tail_inverse_gap_se=np.std(means, ddof=1) / np.sqrt(12),
            tail_virial=0.5 * np.mean((eta * (pull + wd * square) / gap)[tail]),
            tail_w=w[tail].mean(),
            tail_log_gap_1=np.log(gap[(block >= 8) & (block < 12)]).mean(),
            tail_log_gap_2=np.log(gap[(block >= 12) & (block < 16)]).mean(),
            tail_log_gap_3=np.log(gap[block >= 16]).mean(),
        )
        assert found.to_metrics() == pytest.approx(expected.to_metrics(), rel=1e-8, abs=1e-11)


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_angle_virial_and_step_are_those_of_the_theory(integrator: str) -> None:
    """S7, S6 and S8 on a quadratic: E[cos α] = λ, ½⟨Θ·G⟩ = η/η_eff, |ΔΘ| <= Δt for s = 1."""
    nu, eta, rows, steps = 0.4, 2.0, 160, 600
    free = {"lr": 0.05, "eta": eta, "nu": nu, "s": 0, "integrator": integrator}
    found = measure([free] * rows, steps)
    assert {row.sync for row in found} == {int(integrator == "sync")}
    cosines = np.array([row.cos_bounce for row in found])
    assert abs(cosines.mean() / bounce_cosine(N, nu) - 1) < 4 * cosines.std() / np.sqrt(rows)
    assert cosines.std() < 0.05
    virial = np.array([row.tail_virial for row in found])
    law = eta / effective_eta(eta, N, nu, integrator)
    assert virial.mean() == pytest.approx(law, rel=0.03)
    bounded = {**free, "s": 1, "delta_energy": 1.2}
    steps_taken = [row.max_step_over_lr for row in measure([bounded] * 5, 100)]
    assert 0.98 < max(steps_taken) <= 1 + 1e-12


def test_steps_are_measured_by_the_automatic_step_size() -> None:
    p, measurer = torch.nn.Parameter(points(1)[0]), RunMeasurer(200)
    optimizer = ECDSep([p], lr="auto", eta=2.0, nu="auto", s=1, delta_energy=1.0, seed=0)
    optimizer.watch(measurer)
    for _ in range(200):
        loss, p.grad = bowl(p.detach())
        optimizer.step(loss=loss)
    (found,) = measurer.read()
    assert found is not None
    assert 0.5 < found.max_step_over_lr <= 1 + 1e-12
    assert optimizer.diagnostics()["step_over_bound"] == pytest.approx(found.max_step_over_lr)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_makes_no_step_longer_than_the_bound(dtype: torch.dtype) -> None:
    """At |Π| = 1 a step is exactly Δt, and half of all roundings would make it longer."""
    rows = 60
    theta, measurer = points(rows).to(dtype), RunMeasurer(20, rows)
    values = {"lr": 1e-6, "eta": 2.0, "nu": 0.1, "s": 1, "delta_energy": 1.0}
    batch = BatchedECDSep([theta], list(range(rows)), [values] * rows)
    batch.watch(measurer)
    go(batch, theta, 20)
    longest = np.array([row.max_step_over_lr for row in measurer.read() if row is not None])
    assert len(longest) == rows
    assert (longest <= 1).all()
    assert (longest > 1 - 1e-6).all()


def test_a_run_that_is_short_or_cut_off_is_not_measured() -> None:
    for asked, made in ((100, 99), (19, 19)):
        theta, measurer = points(2), RunMeasurer(asked, 2)
        batch = BatchedECDSep([theta], [0, 1], ROWS[:2])
        batch.watch(measurer)
        go(batch, theta, made)
        assert measurer.read() == [None, None]
    assert RunMeasurer(100, 3).read() == [None] * 3


@pytest.mark.parametrize("wait", [True, False])
def test_hazards_are_shares_and_empty_tail_is_not_measured(wait: bool) -> None:
    def run(held: range) -> RunMeasurements | None:
        p = torch.nn.Parameter(points(1)[0])
        optimizer, measurer = ECDSep([p], seed=0, wait=wait, **ROWS[0]), RunMeasurer(100)
        optimizer.watch(measurer)
        for step in range(100):
            loss, p.grad = bowl(p.detach())
            optimizer.step(loss=loss if step not in held else 0 * loss)
        return measurer.read()[0]

    found = run(range(50, 53))
    assert found is not None
    assert found.share_hazard == pytest.approx(0.03)
    assert run(range(50, 55)) is None  # a whole twelfth of the tail


def test_resumed_run_is_measured_as_a_whole() -> None:
    def begin() -> tuple[torch.nn.Parameter, ECDSep, RunMeasurer]:
        p = torch.nn.Parameter(points(1)[0])
        optimizer, measurer = ECDSep([p], seed=0, **ROWS[1]), RunMeasurer(100)
        optimizer.watch(measurer)
        return p, optimizer, measurer

    def go_on(p: torch.nn.Parameter, optimizer: ECDSep, steps: int) -> None:
        for _ in range(steps):
            loss, p.grad = bowl(p.detach())
            optimizer.step(loss=loss)

    p, optimizer, measurer = begin()
    go_on(p, optimizer, 100)
    q, first, half = begin()
    go_on(q, first, 57)
    r, second, rest = begin()
    with torch.no_grad():
        r.copy_(q)
    second.load_state_dict(first.state_dict())
    rest.load_state_dict(half.state_dict(), torch.device("cpu"))
    go_on(r, second, 43)
    whole, parts = measurer.read()[0], rest.read()[0]
    assert whole is not None
    assert parts is not None
    assert parts.to_metrics() == pytest.approx(whole.to_metrics(), rel=1e-12)
