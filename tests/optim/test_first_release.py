"""state_dicts of the first release (commit 8ac668b) load, and continue as that release did.

``data/first_release.pt`` holds, for each case, what was saved after 7 steps, where the parameters
stood, and where that release had them after 9 steps more. ``start`` and ``go`` are what made it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ecd_tune.optim import BBI, ECDSep, ECDSepF0

SAVED = torch.load(Path(__file__).parent / "data" / "first_release.pt", weights_only=True)
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (ECDSep, {"lr": 0.2, "eta": 2.0, "nu": 0.0, "weight_decay": 0.03}),
    "sync": (
        ECDSep,
        {
            "lr": 0.05, "eta": 3.0, "nu": 0.0, "s": 0, "integrator": "sync",
            "decoupled_weight_decay": True, "weight_decay": 0.1,
        },
    ),
    "shift": (ECDSep, {"lr": 0.3, "eta": 2.0, "nu": 0.0, "F0": 2.6, "on_gap": "shift"}),
    "stop": (ECDSep, {"lr": 0.3, "eta": 1.0, "nu": 0.0, "F0": 0.9, "on_gap": "stop", "s": 0}),
    "auto": (ECDSep, {"lr": "auto", "eta": 2.0, "nu": 0.0, "F0": "auto"}),
    "chaotic": (ECDSep, {"lr": 0.1, "eta": 2.0, "nu": 0.1}),
    "ecdsep_f0": (ECDSepF0, {"lr": 0.3, "eta": 3, "nu": 0.0, "F0": 2.6}),
    "bbi": (BBI, {"lr": 0.02, "delta_energy": 0.1, "T0": 1000, "T1": 1000}),
}  # fmt: skip


OTHERWISE = {
    "chaotic": "its random numbers came from a generator",
    "auto": "lr = 'auto' now grows by 10 % a step at most, and learns nothing while V > 𝓔",
}
"""Cases that load, and from then on go another way."""


REFERENCE: dict[Any, dict[str, Any]] = {ECDSep: {"fused": False}, ECDSepF0: {"fused": False}}
"""A float32 momentum is rounded otherwise in the fused form, by more than is allowed here."""


def start() -> list[torch.nn.Parameter]:
    values = (
        torch.tensor([1.0, -0.5, 0.3]).double(),
        torch.full((2, 2), 0.7).double(),
        torch.tensor([0.5, 0.25], dtype=torch.bfloat16),
    )
    return [torch.nn.Parameter(value) for value in values]


def go(params: list[torch.nn.Parameter], optimizer: Any, first: int, last: int) -> None:
    """Parameter 1 has no gradient in steps 5 to 7: it is away when the state is saved."""
    for step in range(first, last):
        optimizer.zero_grad()
        used = [p for i, p in enumerate(params) if not (i == 1 and step in (5, 6, 7))]
        loss = sum((p.double().square().sum() for p in used), torch.tensor(0.5).double())
        loss = loss + 0.05 * (step % 3)
        loss.backward()
        optimizer.step(loss=loss)


@pytest.mark.parametrize("name", CASES)
def test_a_run_of_the_first_release_continues(name: str) -> None:
    kind, options = CASES[name]
    saved = SAVED[name]
    params = start()
    with torch.no_grad():
        for p, value in zip(params, saved["at"], strict=True):
            p.copy_(value)
    optimizer = kind(params, seed=9, **options, **REFERENCE.get(kind, {}))
    optimizer.load_state_dict(saved["state"])
    report = {key: value for key, value in optimizer.report().items() if key in saved["report"]}
    assert report == pytest.approx(saved["report"], rel=1e-14)
    go(params, optimizer, 7, 16)
    after = {key: value for key, value in optimizer.report().items() if key in saved["report"]}
    if name in OTHERWISE:
        assert (after["steps"], after["updates"]) == (16, 16)
        assert all(bool(p.detach().isfinite().all()) for p in params)
        return
    assert after == pytest.approx(saved["report_after"], rel=1e-10)
    for p, expected in zip(params, saved["after"], strict=True):
        torch.testing.assert_close(p.detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_same_steps_give_the_same_run(name: str) -> None:
    if name in OTHERWISE:
        pytest.skip(OTHERWISE[name])
    kind, options = CASES[name]
    params = start()
    optimizer = kind(params, seed=5, **options, **REFERENCE.get(kind, {}))
    go(params, optimizer, 0, 16)
    for p, expected in zip(params, SAVED[name]["after"], strict=True):
        torch.testing.assert_close(p.detach(), expected, rtol=1e-10, atol=1e-12)


def test_loading_does_not_change_what_was_saved() -> None:
    saved = SAVED["plain"]["state"]
    assert set(saved) == {"state", "param_groups", "trajectory"}
    optimizer = ECDSep(start(), eta=2.0)
    optimizer.load_state_dict(saved)
    assert set(saved) == {"state", "param_groups", "trajectory"}
    assert "trajectory" not in saved["param_groups"][0]
    assert set(optimizer.state_dict()) == {"state", "param_groups"}
