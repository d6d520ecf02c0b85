"""The compiled step satisfies the contract of fused forms; threads and noise."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim import BBI, ECDq1, ECDSep
from ecd_tune.optim.fused import cpu
from ecd_tune.optim.params.noise import Noise
from ecd_tune.testing.fused import FusedContract, Pair, bowls
from ecd_tune.theory import bounce_angle

pytestmark = pytest.mark.skipif(cpu.problem() is not None, reason="there is no compiled step")

LEVELS = ["v4", "v3", "base"][["v4", "v3", "base"].index(cpu.level()) if cpu._step else 2 :]


class TestCompiled(FusedContract):
    pass


# ----------------------------------------------------------- any hyperparameters

COMMON = {
    "lr": st.floats(1e-3, 0.2),
    "eta": st.floats(1.0, 5.0),
    "nu": st.sampled_from([0.0, 1e-3, 0.1]),
    "F0": st.sampled_from([0.0, -3.0]),
    "weight_decay": st.sampled_from([0.0, 0.05]),
    "conserve_energy": st.booleans(),
    "integrator": st.sampled_from(["algorithm1", "sync"]),
    "scale": st.sampled_from([1.0, 0.3]),
    "seed": st.integers(0, 2**62),
}
SEP = {
    **COMMON,
    "s": st.sampled_from([0, 1]),
    "delta_energy": st.floats(0.1, 2.0),
    "eps1": st.sampled_from([0.0, 1e-10, 0.1]),
    "decoupled_weight_decay": st.booleans(),
}
UNIT = {**COMMON, "flow": st.sampled_from(["exact", "first_order"])}


@settings(max_examples=60)
@given(st.fixed_dictionaries(SEP))
def test_any_run_of_ecdsep_matches_the_reference(options: dict[str, Any]) -> None:
    Pair(ECDSep, options).go(12).check(1e-11)


@settings(max_examples=40)
@given(st.fixed_dictionaries(UNIT))
def test_any_run_of_ecdq1_matches_the_reference(options: dict[str, Any]) -> None:
    Pair(ECDq1, options).go(12).check(1e-11)


# ------------------------------------------------------------------------- noise


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    before = cpu._step.use(request.param)
    yield request.param
    cpu._step.use(before)


def made(seed: int, first: int, count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    numbers = torch.empty(count, dtype=dtype)
    cpu._step.normals(seed, first, count, numbers.data_ptr(), dtype == torch.float64)
    return numbers


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("seed", [0, 3, 2**62 + 12345])
def test_random_numbers_match_the_reference(
    level: str, seed: int, dtype: torch.dtype, error: float
) -> None:
    count = 64 * 2000
    for step in (0, 5, 2**40):
        expected = Noise(seed).normal(step, count, [(0, count)], dtype)
        torch.testing.assert_close(
            made(seed, step * count, count, dtype), expected, rtol=0, atol=error
        )


def test_random_numbers_are_normal() -> None:
    count = 1 << 22
    z = made(11, 0, count).double().numpy()
    assert abs(z.mean()) < 5 / count**0.5
    assert abs(z.var() - 1) < 5 * (2 / count) ** 0.5
    assert abs((z**3).mean()) < 5 * (15 / count) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / count) ** 0.5
    assert stats.kstest(z, "norm").pvalue > 1e-4
    for bound in (3.0, 4.0, 4.5):
        expected = 2 * stats.norm.sf(bound) * count
        assert abs((np.abs(z) > bound).sum() - expected) < 5 * expected**0.5


def test_random_numbers_are_independent() -> None:
    count = 1 << 20
    z = made(12, 0, 4 * count).double().numpy()
    for lag in (1, 2, 15, 16, 32, 63, 64, 1024, count):
        assert abs((z[lag:] * z[:-lag]).mean()) < 5 / (len(z) - lag) ** 0.5
        assert abs(((z[lag:] ** 2 - 1) * (z[:-lag] ** 2 - 1)).mean()) < 10 / (len(z) - lag) ** 0.5
    other = made(13, 0, 4 * count).double().numpy()
    assert abs((z * other).mean()) < 5 / len(z) ** 0.5


def test_the_turn_has_the_angle_that_nu_asks_for() -> None:
    p = torch.nn.Parameter(torch.ones(4000, dtype=torch.float64))
    optimizer = ECDSep([p], lr=1e-4, eta=2.0, nu=0.01, delta_energy=0.5, seed=1)
    cosines = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        before = p.detach().clone()
        optimizer.step(loss=loss)
        moved = p.detach() - before
        direction = optimizer.state[p]["direction"]
        cosines.append(torch.cosine_similarity(moved, direction, dim=0).item())
    # θ drifts along Π before the turn.
    assert np.arccos(np.mean(cosines[1:])) == pytest.approx(bounce_angle(4000, 0.01), rel=0.02)
    assert optimizer.diagnostics()["bounce_angle"] == pytest.approx(
        bounce_angle(4000, 0.01), rel=0.02
    )


def test_energy_is_kept_to_first_and_to_second_order() -> None:
    drifts, scales = {}, torch.linspace(1, 2, 300)
    for integrator in ("algorithm1", "sync"):
        for lr in (4e-3, 2e-3):
            p = torch.nn.Parameter(torch.linspace(-1, 1, 300, dtype=torch.float64))
            optimizer = ECDSep(
                [p], lr=lr, eta=2.0, nu=0.0, s=0, conserve_energy=False, integrator=integrator
            )
            for _ in range(round(0.4 / lr)):
                optimizer.zero_grad()
                loss = (p * scales).square().sum() + 1
                loss.backward()
                optimizer.step(loss=loss)
            assert optimizer._working.plan is not None
            drifts[integrator, lr] = optimizer.diagnostics()["energy_drift"]
    assert drifts["algorithm1", 4e-3] / drifts["algorithm1", 2e-3] == pytest.approx(2, rel=0.05)
    assert drifts["sync", 4e-3] / drifts["sync", 2e-3] == pytest.approx(4, rel=0.05)


# ----------------------------------------------------------------------- threads


class LargeRun:
    """Enough elements for several threads; only the steps may use them, not torch's operations."""

    def __init__(self, **options: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        shapes = ((300, 400), (70,), (3,), (250, 333))
        self.params = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]
        for p in self.params:
            p.grad = 0.1 * p.detach()
        more = {"nu": 0.01, **options}
        self.optimizer = ECDSep(self.params, lr=0.01, eta=2.0, seed=3, **more)
        self.optimizer.step(loss=5.0)

    def go(self, threads: int) -> list[bytes]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            for step in range(6):
                self.optimizer.step(loss=5.0 + step)
        finally:
            torch.set_num_threads(before)
        assert self.optimizer._working.plan is not None
        return [p.detach().numpy().tobytes() for p in self.params]


@pytest.mark.parametrize("options", [{}, {"integrator": "sync"}, {"weight_decay": 0.1}])
def test_the_number_of_threads_changes_no_bit(options: dict[str, Any]) -> None:
    one = LargeRun(**options).go(1)
    for threads in (2, 3, 5):
        assert LargeRun(**options).go(threads) == one


def test_forked_process_has_its_own_threads() -> None:
    expected = LargeRun().go(2)
    run, context = LargeRun(), multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=lambda: there.send(run.go(2) == expected), daemon=True)
    child.start()
    try:
        assert here.poll(30), "the forked process hangs"
        assert here.recv()
    finally:
        child.kill()
        child.join()


# --------------------------------------------------------------- which form, and why


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(3))


def test_reasons_are_reported() -> None:
    form = ECDSep([parameter()], eta=2.0).report()
    assert (form["form"], form["form_reason"]) == ("fused", None)
    complex_ = torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))
    for optimizer, reason in (
        (ECDSep([parameter()], eta=2.0, fused=False), "fused = False"),
        (ECDSep([parameter()], eta=2.0, nu="auto"), '"auto"'),
        (ECDSep([complex_], eta=2.0), "complex64"),
        (ECDq1([torch.nn.Parameter(torch.ones(4, 4)[:, ::2])]), "view with gaps"),
    ):
        form = optimizer.report()
        assert form["form"] == "reference"
        assert reason in form["form_reason"]


def test_unsupported_fused_is_refused_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(HyperparameterError, match='"auto"'):
        ECDSep([parameter()], eta=2.0, nu="auto", fused=True)
    monkeypatch.setattr(cpu, "_step", None)
    with pytest.raises(HyperparameterError, match="no C compiler"):
        ECDSep([parameter()], eta=2.0, fused=True)
    pair = Pair(ECDSep, {"lr": 0.05, "eta": 2.0, "nu": 0.1}).go(3)
    assert pair.optimizers[1]._working.plan is None
    for first, second in zip(*pair.params, strict=True):
        assert torch.equal(first, second)


def test_bbi_has_no_fused_form() -> None:
    assert BBI([parameter()])._form_reason() == "BBI has no fused form"


def test_watchers_and_hooks_see_each_step() -> None:
    pair = Pair(ECDSep, {"lr": 0.05, "eta": 2.0, "nu": 0.1}).go(3)
    optimizer, seen = pair.optimizers[1], []
    handle = optimizer.register_step_pre_hook(lambda _, args, given: seen.append((args, given)))
    pair.go(2)
    assert [(len(args), set(given)) for args, given in seen] == [(1, {"loss"})] * 2
    handle.remove()
    with torch.autograd.profiler.profile() as profile:
        pair.go(1)
    assert any("Optimizer.step#ECDSep.step" in event.name for event in profile.function_events)
    pair.check(1e-12)


def test_step_increments_the_version_counter() -> None:
    """So that a backward pass through parameters that have moved is refused, as ever."""
    pair = Pair(ECDSep, {"lr": 0.05, "eta": 2.0, "nu": 0.0}).go(3)
    params = pair.params[1]
    loss = bowls(params)
    loss.backward(retain_graph=True)
    pair.optimizers[1].step(loss=loss)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
