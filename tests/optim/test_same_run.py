"""With s = 0, (c Δt, c² δE) gives the run of (Δt, δE)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecd_tune.optim import ECDSep, ECDSepF0

SIZES = (5, 3)
STEPS = 60


def path(kind: Any, lr: float, delta: float, **more: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Positions of a noisy run on a bowl with ripples, and the last report."""
    generator = torch.Generator().manual_seed(5)
    params = [
        torch.nn.Parameter(torch.randn(n, generator=generator, dtype=torch.float64)) for n in SIZES
    ]
    groups = [
        {"params": [params[0]], "scale": more.pop("scale", 1.0)},
        {"params": [params[1]]},
    ]
    optimizer = kind(groups, lr=lr, delta_energy=delta, s=0, seed=7, **more)
    seen = []
    for _ in range(STEPS):
        loss = sum((p.square() * (1 + torch.arange(len(p)))).sum() + p.cos().sum() for p in params)
        loss = loss + 10 + torch.randn((), generator=generator, dtype=torch.float64)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(loss=loss)
        seen.append(torch.cat([p.detach() for p in params]).numpy().copy())
    return np.array(seen), optimizer.report()


@given(
    log_c=st.floats(-4, 4),
    eta=st.sampled_from([1.0, 3.0, 5.0]),
    nu=st.sampled_from([0.0, 0.3]),
    weight_decay=st.sampled_from([0.0, 0.2]),
    scale=st.sampled_from([1.0, 7.0]),
    integrator=st.sampled_from(["algorithm1", "sync"]),
    conserve=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_runs_are_equal_up_to_rounding(
    log_c: float,
    eta: float,
    nu: float,
    weight_decay: float,
    scale: float,
    integrator: str,
    conserve: bool,
) -> None:
    # ε1 compares |Π|² itself, and so knows its unit.
    values = {
        "eta": eta, "nu": nu, "weight_decay": weight_decay, "scale": scale, "eps1": 0.0,
        "integrator": integrator, "conserve_energy": conserve,
    }  # fmt: skip
    c = math.exp(log_c)
    one, report = path(ECDSep, 0.02, 1.5, **values)
    other, scaled = path(ECDSep, 0.02 * c, 1.5 * c**2, **values)
    np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-9)
    assert np.abs(one[-1] - one[0]).max() > 0.01
    assert scaled["log_momentum"] == pytest.approx(report["log_momentum"] + log_c, abs=1e-9)


@pytest.mark.parametrize("more", [{"F0": "auto"}, {"nu": "auto"}, {"F0": 24.0, "on_gap": "shift"}])
def test_runs_are_equal_with_automatic_settings(more: dict[str, Any]) -> None:
    one, report = path(ECDSep, 0.02, 1.0, eta=3.0, **more)
    other, _ = path(ECDSep, 0.06, 9.0, eta=3.0, **more)
    assert report["shifts"] > 0 or "on_gap" not in more
    np.testing.assert_allclose(other, one, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("reset", [False, True])
def test_runs_are_equal_for_algorithm_2(reset: bool) -> None:
    values = {"eta": 3, "F0": 24.0, "reset_energy": reset}
    one, report = path(ECDSepF0, 0.02, 1.0, **values)
    other, _ = path(ECDSepF0, 0.06, 9.0, **values)
    np.testing.assert_allclose(other, one, rtol=1e-8, atol=1e-8)
    assert report["shifts"] > 0


def test_decoupled_weight_decay_differs() -> None:
    values = {"eta": 3.0, "weight_decay": 0.5, "decoupled_weight_decay": True}
    one, _ = path(ECDSep, 0.02, 1.0, **values)
    other, _ = path(ECDSep, 0.06, 9.0, **values)
    assert np.abs(other - one).max() > 1e-3
