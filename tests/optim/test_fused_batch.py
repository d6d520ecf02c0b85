"""Batches make the fused step of each trial, and keep trials separate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ecd_tune.optim import BatchedECDSep, ECDq1, ECDSep, ECDSepF0
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from ecd_tune.optim.fused import cpu
from ecd_tune.testing.fused import CASES

pytestmark = pytest.mark.skipif(cpu.problem() is not None, reason="there is no compiled step")

SHAPES = ((70,), (3, 2), (), (130, 2))
CURVATURES = (1.0, 0.4, 2.0, 0.7)


def start(trials: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randn((trials, *s), generator=generator, dtype=torch.float64) for s in SHAPES]
    return [block.to(dtype) for block in blocks]


def loss_of(theta: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    terms = [
        c * t.double().square().reshape(len(t), -1).sum(1)
        for c, t in zip(CURVATURES, theta, strict=True)
    ]
    return 0.5 + 0.5 * torch.stack(terms).sum(0), [
        c * t for c, t in zip(CURVATURES, theta, strict=True)
    ]


def build(kind: Any, theta: list[Tensor], rows: list[dict[str, Any]], seeds: list[int]) -> Any:
    if kind is ECDq1:
        return BatchedECDq1(theta, seeds, rows)
    return BatchedECDSep(theta, seeds, rows, "ecdsep_f0" if kind is ECDSepF0 else "ecdsep")


def go(batch: Any, steps: int, active: Tensor | None = None) -> None:
    for _ in range(steps):
        loss, grads = loss_of(batch.params)
        on = torch.ones(len(loss), dtype=torch.bool) if active is None else active
        batch.step(loss, grads, on)


def alone(kind: Any, theta: list[Tensor], row: dict[str, Any], seed: int, steps: int) -> Any:
    params = [torch.nn.Parameter(t.clone()) for t in theta]
    optimizer = kind(params, seed=seed, **row)
    for _ in range(steps):
        loss, grads = loss_of([p.detach()[None] for p in params])
        for p, grad in zip(params, grads, strict=True):
            p.grad = grad[0]
        optimizer.step(loss=loss[0])
    return params, optimizer


def distance(batch: Any, row: int, params: Sequence[Tensor]) -> float:
    """Return the distance of a row from a run, in units of the parameters."""
    mine = torch.cat([block[row].double().flatten() for block in batch.params])
    theirs = torch.cat([p.detach().double().flatten() for p in params])
    assert bool(theirs.isfinite().all())
    return float((mine - theirs).norm() / theirs.norm())


def without_form(report: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v for k, v in report.items() if k not in ("form", "form_reason", "remarks", "scales")
    }


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", CASES)
def test_each_row_equals_a_single_run(case: str, dtype: torch.dtype) -> None:
    """The other rows have other hyperparameters."""
    kind, options = CASES[case]
    options = {**options, **({"F0": 60.0} if "F0" in options else {})}
    rows = [options, {**options, "lr": options["lr"] / 2}, {**options, "nu": 0.2}]
    theta, steps = start(3, dtype), 25
    batch = build(kind, [t.clone() for t in theta], rows, [5, -6, 2**62])
    go(batch, steps)
    assert batch._plan is not None, "the last step was not fused"
    assert batch.report()["form"] == ["fused"] * 3
    found = batch.report()
    for b, (row, seed) in enumerate(zip(rows, [5, -6, 2**62], strict=True)):
        params, optimizer = alone(kind, [t[b] for t in theta], row, seed, steps)
        assert distance(batch, b, params) <= (1e-12 if dtype == torch.float64 else 1e-6)
        report = without_form(optimizer.report())
        same = {k: report[k] for k in report if k in found and report[k] is not None}
        mine = {k: float(found[k][b]) for k in same}
        assert mine == pytest.approx({k: float(v) for k, v in same.items()}, rel=1e-9)


@pytest.mark.parametrize("kind", [ECDSep, ECDq1])
@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_fused_batch_matches_the_reference(
    kind: Any, integrator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports and diagnostics too, of more than 256 steps."""
    rows = [
        {"lr": lr, "eta": 2.0, "nu": nu, "integrator": integrator, "scale": scale}
        for lr, nu, scale in ((0.01, 0.0, 1.0), (0.02, 0.05, "share"), (0.01, 0.1, "moments"))
    ]
    made = []
    for fused in (True, False):
        with monkeypatch.context() as patch:
            if not fused:
                patch.setattr(cpu, "_step", None)
            batch = build(kind, start(3), rows, [1, 2, 3])
            go(batch, 30)
            assert (batch._plan is not None) == fused
            ends = [t.clone() for t in batch.params]
            go(batch, 270)
            made.append((ends, batch.diagnostics(), without_form(batch.report())))
    for mine, theirs in zip(made[0][0], made[1][0], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(made[0][1:], made[1][1:], strict=True):
        assert mine.keys() == theirs.keys()
    assert made[0][1]["steps"].tolist() == [300] * 3
    for key in ("bounce_angle", "speed", "share_held"):
        torch.testing.assert_close(
            made[0][1][key].double(), made[1][1][key].double(), rtol=1e-2, atol=1e-9
        )


def test_ended_or_failed_rows_affect_no_other() -> None:
    rows = [{"lr": 0.05, "eta": 2.0, "nu": 0.1, "on_gap": "stop"}] * 4
    quiet = build(ECDSep, start(4), rows, [0, 1, 2, 3])
    loud = build(ECDSep, start(4), rows, [0, 1, 2, 3])
    everywhere = torch.ones(4, dtype=torch.bool)
    for step in range(12):
        go(quiet, 1)
        loss, grads = loss_of(loud.params)
        active = everywhere.clone()
        if step >= 4:
            loss[1], grads[0][1, 3] = -1.0, torch.nan  # stops; its gradient is not looked at
            grads[1][2] = torch.inf  # a bad gradient
            active[3] = False
            loss[3], grads[0][3] = torch.nan, torch.nan
        kept = [t[1:].clone() for t in loud.params]
        loud.step(loss, grads, active)
        if step >= 4:
            assert all(map(torch.equal, kept, [t[1:] for t in loud.params]))
    assert loud._plan is not None
    for mine, theirs in zip(quiet.params, loud.params, strict=True):
        assert torch.equal(mine[0], theirs[0])
    report = loud.report()
    assert report["updates"].tolist() == [12, 4, 4, 4]
    assert report["stopped"].tolist() == [False, True, False, False]
    assert report["bad_gradients"].tolist() == [0, 0, 8, 0]
    assert loud.diagnostics()["steps"].tolist() == [12, 12, 12, 4]


def test_row_added_later_changes_no_other() -> None:
    """The reference form begins it, and the fused one continues with the others in that step."""
    rows = [{"lr": 0.05, "eta": 2.0, "nu": 0.1}] * 2
    theta = start(2)
    late, quiet = (build(ECDSep, [t.clone() for t in theta], rows, [0, 1]) for _ in range(2))
    for batch in (late, quiet):
        batch.diagnostics()
    only = torch.tensor([True, False])
    go(late, 5, only)
    go(late, 7)
    go(quiet, 12, only)
    for mine, theirs in zip(late.params, quiet.params, strict=True):
        assert torch.equal(mine[0], theirs[0])
    assert late.report()["updates"].tolist() == [12, 7]
    params, _ = alone(ECDSep, [t[0] for t in theta], rows[0], 0, 12)
    for p, block in zip(params, late.params, strict=True):
        torch.testing.assert_close(p.detach(), block[0], rtol=1e-11, atol=1e-11)
    mine, theirs = late.diagnostics(), quiet.diagnostics()
    assert mine["steps"].tolist() == [12, 7]
    for name, numbers in theirs.items():
        torch.testing.assert_close(mine[name][0], numbers[0], equal_nan=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    before = torch.get_num_threads()
    ends = []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            batch = build(ECDq1, start(9, torch.float32), [{"nu": 0.3}] * 9, list(range(9)))
            for _ in range(5):
                batch.step(
                    torch.full((9,), 3.0), [0.1 * t for t in batch.params], torch.ones(9).bool()
                )
            ends.append([t.clone() for t in batch.params])
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *ends))


def test_reasons_are_reported() -> None:
    class Watcher:
        def on_step(self, step: Any) -> None:
            pass

    rows = [{"eta": 2.0}, {"eta": 3.0}]
    watched = build(ECDSep, start(2), rows, [0, 1])
    watched.watch(Watcher())
    auto = build(ECDSep, start(2), [{"eta": 2.0, "nu": "auto"}] * 2, [0, 1])
    gaps = build(ECDSep, [torch.ones(2, 4)[:, ::2]], rows, [0, 1])
    for batch, reason in (
        (watched, "watchers are registered"),
        (auto, '"auto"'),
        (gaps, "not contiguous"),
    ):
        report = batch.report()
        assert report["form"] == ["reference"] * 2
        assert reason in report["form_reason"][0]


ROW = st.fixed_dictionaries(
    {
        "lr": st.floats(1e-3, 0.2),
        "eta": st.floats(1.0, 5.0),
        "nu": st.sampled_from([0.0, 1e-3, 0.2]),
        "F0": st.sampled_from([0.0, -1.0]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "scale": st.sampled_from([1.0, 0.5, "share", "moments"]),
    }
)


@settings(max_examples=15, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=4), st.sampled_from([ECDSep, ECDq1]))
def test_any_rows_equal_single_runs(rows: list[dict[str, Any]], kind: Any) -> None:
    theta, seeds = start(len(rows)), list(range(len(rows)))
    batch = build(kind, [t.clone() for t in theta], rows, seeds)
    go(batch, 22)
    assert batch._plan is not None
    for b, row in enumerate(rows):
        params, _ = alone(kind, [t[b] for t in theta], row, b, 22)
        for p, block in zip(params, batch.params, strict=True):
            torch.testing.assert_close(p.detach(), block[b], rtol=1e-10, atol=1e-10)
