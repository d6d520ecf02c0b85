"""Asynchronous steps equal synchronous ones, and do not synchronize with the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.optim import ECDSep
from ecd_tune.optim.self_tuning.ecdsep_f0 import ECDSepF0

READS = ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy", "nonzero")


class _NoReading(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "a number was read back"
        return func(*args, **(kwargs or {}))


@contextmanager
def no_reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail where a number of a tensor is asked for: on a GPU that would wait for it."""
    with monkeypatch.context() as patch, _NoReading():
        for name in READS:

            def refuse(self: Any, *args: Any, name: str = name) -> Any:
                raise AssertionError(f"Tensor.{name} was called")

            patch.setattr(torch.Tensor, name, refuse)
        yield


def parameters(dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((3, 2), (4,))]


def losses(params: list[torch.Tensor], step: int) -> torch.Tensor:
    """A bowl; at step 5 below F0, at step 8 with a gradient that is not finite."""
    loss = sum((p**2).sum() for p in params)
    assert isinstance(loss, torch.Tensor)
    if step == 5:
        loss = loss * 0 - 1.0
    if step == 8:
        loss = loss + (params[0][0, 0] - params[0][0, 0].detach()).abs().sqrt()
    return loss


def run(wait: bool | None, steps: int = 30, dtype: torch.dtype = torch.float64, **more: Any) -> Any:
    params = parameters(dtype)
    settings = {"lr": 0.05, "eta": 2.0, "nu": 0.1, "weight_decay": 1e-3, "seed": 4, **more}
    optimizer = ECDSep(params, wait=wait, **settings)
    for step in range(steps):
        optimizer.zero_grad()
        loss = losses(params, step)
        loss.backward()
        optimizer.step(loss=loss)
    return [p.detach() for p in params], optimizer


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "more", [{}, {"nu": 0.0}, {"integrator": "sync"}, {"s": 0}, {"nu": "auto"}]
)
def test_runs_are_bit_equal(dtype: torch.dtype, more: dict[str, Any]) -> None:
    watched, one = run(True, dtype=dtype, **more)
    unwatched, other = run(False, dtype=dtype, **more)
    for a, b in zip(watched, unwatched, strict=True):
        assert torch.equal(a, b)
    assert one.report() == other.report()
    assert (one.report()["held"], one.report()["bad_gradients"]) == (1, 1)
    assert one.report()["updates"] == 28


@pytest.mark.parametrize("more", [{}, {"lr": "auto", "nu": "auto", "F0": "auto"}])
def test_step_does_not_synchronize(monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]) -> None:
    params = parameters()
    settings = {"lr": 0.05, "eta": 2.0, "nu": 0.1, "weight_decay": 1e-3, **more}
    settings |= {"decoupled_weight_decay": True, "fused": False}  # the form that a GPU shares
    optimizer = ECDSep(params, seed=4, wait=False, **settings)
    for step in range(15):
        optimizer.zero_grad()
        loss = losses(params, step)
        loss.backward()
        if step == 0:  # sets the energy
            optimizer.step(loss=loss)
        else:
            assert optimizer._working.noise is not None or "nu" in more
            if optimizer._working.noise is not None:
                optimizer._working.noise._on_host = False  # as on a GPU
            with no_reading(monkeypatch):
                optimizer.step(loss=loss)
    assert optimizer.report()["updates"] == 13


def test_synchronization_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    params = parameters()
    optimizer = ECDSep(params, lr=0.05, eta=2.0, wait=True)
    loss = losses(params, 0)
    loss.backward()
    with pytest.raises(AssertionError), no_reading(monkeypatch):
        optimizer.step(loss=loss)


def test_nonfinite_loss_changes_nothing_and_raises_later() -> None:
    params = parameters()
    optimizer = ECDSep(params, lr=0.05, eta=2.0, nu=0.1, seed=4, wait=False)

    def step(value: float) -> list[torch.Tensor]:
        optimizer.zero_grad()
        loss = losses(params, 0)
        loss.backward()
        optimizer.step(loss=loss.detach() + value)
        return [p.detach().clone() for p in params]

    before = step(0.0)
    for value in (float("nan"), float("inf")):
        assert all(torch.equal(a, b) for a, b in zip(step(value), before, strict=True))
    for _ in range(13):
        step(0.0)
    with pytest.raises(NonFiniteLossError, match=r"loss at step 1 .*found at step 16"):
        step(0.0)
    assert (optimizer.report()["updates"], optimizer.report()["bad_gradients"]) == (15, 0)


def test_saved_state_has_all_counters() -> None:
    _, optimizer = run(False, 10)
    _, other = run(False, 0)
    other.load_state_dict(optimizer.state_dict())
    assert other.report() == optimizer.report()
    assert other.report()["held"] == 1


@pytest.mark.parametrize("on_gap", ["stop", "shift"])
def test_steps_below_F0_do_not_synchronize(monkeypatch: pytest.MonkeyPatch, on_gap: str) -> None:
    for kind in (ECDSep, ECDSepF0):
        more = {"on_gap": on_gap} if kind is ECDSep else {}
        ends = []
        for wait in (True, False):
            params = parameters()
            optimizer = kind(params, lr=0.05, eta=3, nu=0.1, seed=4, wait=wait, **more)
            for step in range(12):
                optimizer.zero_grad()
                loss = losses(params, step)
                loss.backward()
                optimizer.step(loss=loss)
            ends.append((torch.cat([p.detach().flatten() for p in params]), optimizer.report()))
        assert torch.equal(ends[0][0], ends[1][0])
        assert ends[0][1] == ends[1][1]
        assert ends[0][1]["held"] >= 1
