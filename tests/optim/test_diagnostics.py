"""Diagnostics of ECDSep: correct numbers, without additional computation."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ecd_tune.optim import BatchedECDSep, ECDSep
from ecd_tune.optim.monitoring.step_recorder import StepRecorder
from ecd_tune.optim.self_tuning.ecdsep_f0 import ECDSepF0
from ecd_tune.theory import Basin, bounce_angle

N = 24
SCALE = torch.linspace(0.5, 2.0, N, dtype=torch.float64)
F_MIN = 1.0


def bowl(theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return F_MIN + (SCALE * theta.square()).sum(-1), 2 * SCALE * theta


def start() -> torch.nn.Parameter:
    generator = torch.Generator().manual_seed(3)
    return torch.nn.Parameter(torch.randn(N, generator=generator, dtype=torch.float64))


def run(optimizer: Any, p: torch.nn.Parameter, steps: int) -> list[dict[str, float]]:
    """Make steps, and write down what can be seen from outside after each of them."""
    seen = []
    for _ in range(steps):
        before = p.detach().clone()
        loss, p.grad = bowl(before)
        optimizer.step(loss=loss)
        now = optimizer.report()
        moved = (p.detach() - before).norm().item()
        seen.append({"loss": loss.item(), "moved": moved, "log_p": now["log_momentum"]})
    return seen


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize(("s", "delta"), [(0, 1.0), (1, 0.5)])
def test_numbers_match_an_external_calculation(wait: bool, s: int, delta: float) -> None:
    p = start()
    lr, eta, F0 = 0.03, 2.5, 0.25
    optimizer = ECDSep(
        [p], lr=lr, eta=eta, nu=0.0, F0=F0, s=s, delta_energy=delta, seed=0, wait=wait
    )
    seen = run(optimizer, p, 100)
    log_energy = optimizer.report()["log_energy"]
    found = optimizer.diagnostics(F_min=F_MIN)
    gap = np.array([row["loss"] for row in seen]) - F0
    speed = np.array([row["moved"] for row in seen]) / lr
    # After a step of Algorithm 1 its Π is the one that the next step finds.
    log_p = np.array([0.5 * math.log(delta), *(row["log_p"] for row in seen[:-1])])
    drift = np.log(np.exp(2 * log_p) + s) + eta * np.log(gap) - log_energy
    assert found["steps"] == 100
    assert found["energy_drift"] == pytest.approx(math.sqrt(np.mean(drift**2)), rel=1e-9)
    assert found["energy_drift"] > 1e-5
    assert found["gap"] == pytest.approx(gap.mean(), rel=1e-12)
    assert found["speed"] == pytest.approx(speed.mean(), rel=1e-9)
    if s == 1:
        assert found["step_over_bound"] == pytest.approx(speed.max(), rel=1e-9)
        assert found["step_over_bound"] <= 1
    else:
        assert math.isnan(found["step_over_bound"])
    assert found["share_rescaled"] == pytest.approx(1, abs=0.06)
    assert (found["share_held"], found["share_unreachable"], found["bounce_angle"]) == (0, 0, 0)
    floor = F0 + (1 - 1 / eta) / np.mean(1 / gap)
    assert found["implied_minimum"] == pytest.approx(floor, rel=1e-9)


def test_energy_drifts_without_rescaling() -> None:
    def drift(conserve: bool) -> dict[str, float]:
        p = start()
        optimizer = ECDSep([p], lr=0.1, eta=2.0, s=0, nu=0.2, seed=1, conserve_energy=conserve)
        run(optimizer, p, 300)
        return optimizer.diagnostics()

    kept, free = drift(True), drift(False)
    assert (kept["share_rescaled"] > 0.9, free["share_rescaled"]) == (True, 0)
    assert free["energy_drift"] > 3 * kept["energy_drift"]


def test_on_a_plateau_the_law_gives_minimum_gap_and_angle() -> None:
    nu, eta, F0, rows = 0.2, 3.0, 0.5, 50
    values = {"lr": 0.4, "eta": eta, "nu": nu, "F0": F0, "s": 0, "integrator": "sync"}
    theta = 0.1 * torch.randn(rows, N, generator=torch.Generator().manual_seed(1)).double()
    batch = BatchedECDSep([theta], list(range(rows)), [values] * rows)
    for _ in range(2):
        batch.diagnostics()  # forgets the way to the plateau
        for _ in range(400):
            loss, gradient = bowl(theta)
            batch.step(loss, [gradient], torch.ones(rows, dtype=torch.bool))
    found = batch.diagnostics(F_min=F_MIN)
    law = Basin(N, eta, F_min=F_MIN, F0=F0, curvature=1.0, F_init=5.0, s=0, delta_energy=1.0)
    predicted = found["predicted_gap"].numpy()
    np.testing.assert_allclose(predicted, F_MIN - F0 + law.plateau_gap(), rtol=1e-12)
    assert found["gap"].mean().item() == pytest.approx(predicted[0], rel=0.03)
    assert found["implied_minimum"].mean().item() == pytest.approx(F_MIN, rel=0.02)
    assert found["bounce_angle"].mean().item() == pytest.approx(bounce_angle(N, nu), rel=0.01)


def test_only_reset_begins_a_new_epoch() -> None:
    p = start()
    optimizer = ECDSep([p], lr=0.02, eta=2.0, seed=3)
    assert math.isnan(optimizer.diagnostics()["gap"])
    run(optimizer, p, 300)
    kept = optimizer.diagnostics(reset=False)
    again = optimizer.diagnostics()
    # Without F_min one number is NaN, so they are compared as text.
    assert str(kept) == str(again)
    run(optimizer, p, 7)
    assert optimizer.diagnostics()["steps"] == 7


def test_skipped_steps_are_counted() -> None:
    p = start()
    optimizer = ECDSep([p], lr=0.02, eta=2.0, nu=0.1, seed=3)
    for step in range(10):
        loss, p.grad = bowl(p.detach())
        optimizer.step(loss=loss if step % 5 else loss * 0 - 1)
    found = optimizer.diagnostics()
    assert found["steps"] == 10
    assert found["share_held"] == pytest.approx(0.2)
    assert math.isfinite(found["gap"])


@pytest.mark.parametrize("kind", [ECDSep, ECDSepF0])
def test_sums_are_restored(kind: Any) -> None:
    def make() -> tuple[Any, torch.nn.Parameter]:
        p = start()
        return kind([p], lr=0.02, eta=3, nu=0.1, seed=3), p

    whole, p = make()
    run(whole, p, 40)
    first, q = make()
    run(first, q, 25)
    second, r = make()
    with torch.no_grad():
        r.copy_(q)
    second.load_state_dict(first.state_dict())
    run(second, r, 15)
    expected, found = whole.diagnostics(), second.diagnostics()
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert found["steps"] == 40


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_rows_of_a_batch_match_single_runs(integrator: str) -> None:
    rows = [
        {"lr": 0.02, "eta": 2.0, "nu": 0.1, "s": 0, "F0": 0.5, "integrator": integrator},
        {"lr": 0.05, "eta": 3.0, "nu": 0.0, "s": 1, "F0": 0.0, "integrator": integrator},
        {"lr": 0.05, "eta": 1.5, "nu": 0.3, "s": 1, "F0": 1e4, "integrator": integrator},
    ]
    theta = start().detach().repeat(3, 1)
    batch = BatchedECDSep([theta], [4, 5, 6], rows)
    active = torch.tensor([True, True, True])
    for _ in range(8):
        loss, gradient = bowl(theta)
        batch.step(loss, [gradient], active)
    together = batch.diagnostics(F_min=F_MIN)
    for b, row in enumerate(rows):
        p = start()
        alone = ECDSep([p], seed=4 + b, **row)
        run(alone, p, 8)
        expected = alone.diagnostics(F_min=F_MIN)
        found = {name: column[b].item() for name, column in together.items()}
        assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert together["share_held"].tolist() == [0, 0, 1]


class _Passes(TorchDispatchMode):
    """Counts operations that read a whole tensor of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        flat = [a for arg in args for a in (arg if isinstance(arg, list | tuple) else [arg])]
        if any(isinstance(a, torch.Tensor) and a.numel() == N for a in flat):
            self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("foreach", [False, True])
def test_no_additional_pass_over_the_parameters(
    monkeypatch: pytest.MonkeyPatch, foreach: bool
) -> None:
    def passes() -> Counter[str]:
        p = start()
        optimizer = ECDSep([p], lr=0.02, eta=2.0, nu=0.1, weight_decay=0.1, seed=3, foreach=foreach)
        with _Passes() as counted:
            run(optimizer, p, 40)
            optimizer.diagnostics()
        return counted.counts

    watched = passes()
    monkeypatch.setattr(StepRecorder, "on_step", lambda self, step: None)
    assert watched == passes()
    assert any("norm" in name for name in watched)
