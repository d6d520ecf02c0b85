"""Sums over a whole run, against an external calculation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ecd_tune.optim import BatchedECDSep, ECDq1, ECDSep
from ecd_tune.optim.monitoring.course import Course, CourseRecorder
from ecd_tune.optim.monitoring.step_recorder import StepRecorder

N = 24
SCALE = torch.linspace(0.5, 2.0, N, dtype=torch.float64)


def bowl(theta: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    noise = 0.3 * math.sin(1.7 * step)
    return 1 + noise + (SCALE * theta.square()).sum(-1), 2 * SCALE * theta


def start() -> torch.nn.Parameter:
    generator = torch.Generator().manual_seed(3)
    return torch.nn.Parameter(torch.randn(N, generator=generator, dtype=torch.float64))


def run(optimizer: Any, p: torch.nn.Parameter, steps: int, first: int = 0) -> np.ndarray:
    """Make steps; loss, |∇F| and |ΔΘ| of each."""
    seen = []
    for step in range(first, first + steps):
        before = p.detach().clone()
        loss, p.grad = bowl(before, step)
        optimizer.step(loss=loss)
        seen.append((loss.item(), p.grad.norm().item(), (p.detach() - before).norm().item()))
    return np.array(seen)


def course_of(optimizer: Any) -> Course:
    rules = optimizer._present_rules()
    limited = rules.constants.conserve if isinstance(optimizer, ECDq1) else rules.constants.bounded
    optimizer._working.recorder.flush()
    meter: CourseRecorder = optimizer._working.course
    (course,) = meter.read(rules.constants.eta, limited, optimizer.param_groups[0]["integrator"])
    return course


@pytest.mark.parametrize("steps", [25, 64, 700])
@pytest.mark.parametrize(("s", "delta"), [(0, 1.0), (1, 1.0), (1, 0.0)])
def test_numbers_match_an_external_calculation(steps: int, s: int, delta: float) -> None:
    p, lr, eta, F0 = start(), 0.02, 2.5, 0.25
    optimizer = ECDSep([p], lr=lr, eta=eta, nu=0.0, F0=F0, s=s, delta_energy=delta, seed=0)
    seen = run(optimizer, p, steps)
    loss, slope, moved = seen.T
    gap = loss - F0
    course, report = course_of(optimizer), optimizer.report()
    assert course.steps == steps
    assert (report["loss_start"], report["path_needed"]) == (
        pytest.approx(loss[0]),
        pytest.approx(gap[0] / slope[0], rel=1e-9),
    )
    assert report["path"] == pytest.approx(moved.sum(), rel=1e-9)
    if s == 1:
        assert report["path_bound"] == pytest.approx(steps * lr)
        assert report["path"] <= report["path_bound"]
        hot = gap**eta > gap[0] ** eta * (1 + delta)
        assert hot.any() or delta
    else:
        assert report["path_bound"] is None
        hot = loss > loss[0]
    assert report["share_hot"] == pytest.approx(hot.mean(), abs=1e-12)
    # The stretches are powers of 2 long, and the end is a fifth of their number.
    length = next(2**k for k in range(20) if 32 * 2**k >= steps)
    stretches = -(-steps // length)
    fifth = stretches // 5
    end = slice((stretches - fifth) * length, None)
    tail = slice((stretches - 3 * fifth) * length, None)
    assert report["loss_end"] == pytest.approx(loss[end].mean(), rel=1e-9)
    assert course.noise == pytest.approx(loss[end].std(), rel=1e-6)
    assert course.loss_early == pytest.approx(loss[:length].mean(), rel=1e-9)
    possible = np.minimum(slope * moved / gap, 1)[tail]
    assert course.fall == pytest.approx(possible.sum(), rel=1e-9)
    assert course.orbit_step == pytest.approx(eta / 2 * possible.mean(), rel=1e-9)
    middle = (stretches - 2 * fifth) * length
    parts = np.split(np.log(gap), [tail.start, middle, end.start])[1:]
    means = [part.mean() for part in parts]
    assert course.drift == pytest.approx(max(means) - min(means), rel=1e-7)
    w = np.minimum(gap**eta / ((1 + delta) * gap[0] ** eta), 1)[end].mean() if s else 0.0
    floor = (1 - (1 - w) / eta) / np.mean(1 / gap[end])
    assert course.plateau_gap == pytest.approx(gap[end].mean() - floor, rel=1e-9)
    assert course.plateau_floor == pytest.approx(loss[end].mean() - course.plateau_gap)


def test_at_unit_speed_the_path_is_the_number_of_steps() -> None:
    p, lr, eta = start(), 0.3, 9.0
    optimizer = ECDq1([p], lr=lr, eta=eta, seed=0)
    seen = run(optimizer, p, 90)
    report = optimizer.report()
    assert report["path"] == pytest.approx(90 * lr / 3)
    assert report["path"] == pytest.approx(seen[:, 2].sum(), rel=1e-6)
    assert report["path_bound"] == pytest.approx(report["path"])
    assert report["share_hot"] == pytest.approx(np.mean(seen[:, 0] > seen[0, 0]))


def test_distances_are_those_without_the_scale() -> None:
    def report(scale: float) -> dict[str, Any]:
        p = torch.nn.Parameter(start().detach() * scale)
        optimizer = ECDSep([p], lr=0.02, eta=2.0, scale=scale, seed=0)
        for _ in range(30):
            loss, grad = bowl(p.detach() / scale, 0)
            p.grad = grad / scale
            optimizer.step(loss=loss)
        return optimizer.report()

    plain, scaled = report(1.0), report(5.0)
    for name in ("path", "path_bound", "path_needed", "loss_end"):
        assert scaled[name] == pytest.approx(plain[name], rel=1e-9), name


def test_a_warm_up_from_zero_does_not_hide_the_start() -> None:
    p = start()
    optimizer = ECDSep([p], lr=0.1, eta=2.0, nu=0.0, seed=0)
    for step in range(40):
        optimizer.param_groups[0]["lr"] = 0.01 * min(step, 5)
        run(optimizer, p, 1, step)
    report = optimizer.report()
    loss, grad = bowl(start().detach(), 1)
    assert report["loss_start"] == pytest.approx(loss.item())
    assert report["path_needed"] == pytest.approx((loss / grad.norm()).item())
    assert report["path_bound"] == pytest.approx(0.01 * (1 + 2 + 3 + 4 + 35 * 5))


def test_skipped_steps_are_not_summed() -> None:
    p = start()
    optimizer = ECDSep([p], lr=0.02, eta=2.0, nu=0.0, seed=0)
    for step in range(60):
        loss, p.grad = bowl(p.detach(), 0)
        optimizer.step(loss=loss if step % 3 else loss * 0 - 1)
    report = optimizer.report()
    assert report["held"] == 20
    assert course_of(optimizer).steps == 40
    assert report["path_bound"] == pytest.approx(0.8)
    assert report["loss_end"] > 0


def test_no_report_for_short_runs() -> None:
    p = start()
    optimizer = ECDSep([p], lr=0.02, eta=2.0, seed=0)
    report = optimizer.report()
    assert (report["path"], report["loss_start"], report["remarks"]) == (None, None, [])
    run(optimizer, p, 19)
    report = optimizer.report()
    assert (report["loss_end"], report["remarks"]) == (None, [])
    assert report["path"] > 0
    run(optimizer, p, 1)
    assert optimizer.report()["loss_end"] > 0


@pytest.mark.parametrize("kind", [ECDSep, ECDq1])
@pytest.mark.parametrize("cut", [0, 13, 300])
def test_sums_are_restored(kind: Any, cut: int) -> None:
    def make() -> tuple[Any, torch.nn.Parameter]:
        p = start()
        return kind([p], lr=0.05, eta=3.0, seed=3), p

    whole, p = make()
    run(whole, p, 330)
    first, q = make()
    run(first, q, cut)
    first.report()  # looking changes nothing
    second, r = make()
    run(second, r, 5)
    with torch.no_grad():
        r.copy_(q)
    second.load_state_dict(first.state_dict())
    run(second, r, 330 - cut, cut)
    assert course_of(second) == pytest.approx(course_of(whole), rel=1e-9, nan_ok=True)


def test_rows_of_a_batch_match_single_runs() -> None:
    rows = [
        {"lr": 0.02, "eta": 2.0, "nu": 0.1, "s": 0, "F0": 0.5},
        {"lr": 1e-4, "eta": 3.0, "nu": 0.0, "s": 1, "F0": 0.0},
        {"lr": 0.05, "eta": 1.5, "nu": 0.3, "s": 1, "F0": 1e4},
        {"lr": 3.0, "eta": 1.0, "nu": 0.0, "s": 0, "F0": 0.0},
    ]
    theta = start().detach().repeat(4, 1)
    batch = BatchedECDSep([theta], [4, 5, 6, 7], rows)
    for step in range(70):
        loss, gradient = bowl(theta, step)
        batch.step(loss, [gradient], torch.tensor([True] * 4))
    together = batch.report()
    for b, row in enumerate(rows):
        p = start()
        alone = ECDSep([p], seed=4 + b, **row)
        run(alone, p, 70)
        expected = alone.report()
        assert together["remarks"][b] == expected["remarks"]
        for name in ("share_hot", "path", "path_bound", "loss_end", "hot", "slow", "plateau"):
            value = math.nan if expected[name] is None else float(expected[name])
            assert float(together[name][b]) == pytest.approx(value, rel=1e-8, nan_ok=True), name
    assert [bool(remarks) for remarks in together["remarks"]] == [False, True, False, True]


def test_row_that_ends_early_has_no_final_values() -> None:
    theta = start().detach().repeat(2, 1)
    batch = BatchedECDSep([theta], [1, 2], [{"lr": 0.02, "eta": 2.0}] * 2)
    for step in range(100):
        loss, gradient = bowl(theta, step)
        batch.step(loss, [gradient], torch.tensor([True, step < 30]))
    report = batch.report()
    assert report["path"][1] < report["path"][0]
    assert report["loss_end"].isnan().tolist() == [False, True]
    assert report["remarks"][1] == []


def test_no_additional_pass_over_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Passes(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            flat = [a for arg in args for a in (arg if isinstance(arg, list | tuple) else [arg])]
            self.count += any(isinstance(a, torch.Tensor) and a.numel() == N for a in flat)
            return func(*args, **(kwargs or {}))

    def passes() -> int:
        p = start()
        optimizer = ECDSep([p], lr=0.02, eta=2.0, nu=0.1, seed=3)
        with Passes() as counted:
            run(optimizer, p, 40)
            optimizer.report()
        return counted.count

    watched = passes()
    monkeypatch.setattr(StepRecorder, "on_step", lambda self, step: None)
    assert watched == passes() > 0


@pytest.mark.parametrize("rows", [40, 1000])
def test_sums_do_not_depend_on_how_many_steps_come_at_once(rows: int) -> None:
    """A checkpoint in between brings what has come so far: not a bit may change."""
    generator = torch.Generator().manual_seed(5)
    steps = torch.rand(rows, 3, 2, generator=generator, dtype=torch.float64)
    whole = CourseRecorder()
    whole._add(steps)
    for cuts in ([1] * rows, [33, rows - 33], [7, 25, 1, rows - 33]):
        parts = CourseRecorder()
        for part in steps.split(cuts):
            parts._add(part)
        assert parts._count == whole._count == rows
        assert parts._sums is not None
        assert whole._sums is not None
        assert torch.equal(parts._sums, whole._sums)
