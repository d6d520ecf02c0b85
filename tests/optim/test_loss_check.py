"""The given loss is compared with the loss that the gradients imply."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ecd_tune.optim import ECDSep
from ecd_tune.optim.monitoring.loss_check import LEAST_STEPS, Kicks, mismatch, work

MESSAGE = "where the gradients imply"


def train(
    given: Callable[[Tensor], Tensor], steps: int = 256, batch: int | None = None, **options: Any
) -> None:
    """Fit a small network; ``given`` makes of the loss what the optimizer is told."""
    torch.manual_seed(0)
    x = torch.randn(200, 8)
    y = (x @ torch.randn(8) > 0).long()
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    options = {"lr": 0.1, "eta": 2.0, "nu": 0.01, "F0": 0.0, **options}
    optimizer = ECDSep(net.parameters(), seed=0, **options)
    for _ in range(steps):
        rows = slice(None) if batch is None else torch.randint(0, len(x), (batch,))
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
        loss.backward()
        optimizer.step(loss=given(loss.detach()))


@pytest.mark.parametrize("batch", [None, 16])
@pytest.mark.parametrize("eta", [1.0, 4.0])
@pytest.mark.parametrize("lr", [0.03, 0.1, 1.0])
@pytest.mark.parametrize("s", [0, 1])
def test_correct_loss_gives_no_warning(batch: int | None, eta: float, lr: float, s: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(lambda loss: loss, batch=batch, eta=eta, lr=lr, s=s, weight_decay=1e-3)


@pytest.mark.parametrize("batch", [None, 16])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": "auto"},
        {"lr": "auto", "s": 0, "orbit_step": 0.05},
        {"lr": "auto", "F0": "auto", "orbit_step": 0.8},
        {"on_gap": "shift", "F0": 0.6},
        {"decoupled_weight_decay": True, "weight_decay": 1.0},
        {"scale": 5.0, "lr": 0.02},
    ],
    ids=str,
)
def test_no_warning_if_constants_change(batch: int | None, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(lambda loss: loss, batch=batch, **options)


WRONG: list[tuple[Callable[[Tensor], Tensor], float]] = [
    (lambda loss: loss / 4, 0.0),
    (lambda loss: 4 * loss, 0.0),
    (lambda loss: -loss, -3.0),
]
"""What is made of the loss, and an F0 below it."""


@pytest.mark.parametrize("batch", [None, 32])
@pytest.mark.parametrize(("wrong", "F0"), WRONG)
def test_wrong_scale_or_sign_warns_once(
    batch: int | None, wrong: Callable[[Tensor], Tensor], F0: float
) -> None:
    with pytest.warns(UserWarning, match=MESSAGE) as said:
        train(wrong, steps=600, batch=batch, F0=F0)
    assert len(said) == 1


@pytest.mark.parametrize(("wrong", "F0"), WRONG)
def test_automatic_step_size_is_considered(wrong: Callable[[Tensor], Tensor], F0: float) -> None:
    with pytest.warns(UserWarning, match=MESSAGE) as said:
        train(wrong, steps=600, F0=F0, lr="auto", orbit_step=0.05)
    assert len(said) == 1


def test_the_work_is_that_of_the_gradients() -> None:
    """Seen from outside: ∇F·ΔΘ at both ends of each step, without turns."""
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    scale = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    optimizer = ECDSep([p], lr=0.05, eta=2.0, nu=0.0, weight_decay=0.0)
    rows, slopes = [], []

    class Keep:
        def on_step(self, step):
            info, seen = step.info, step.seen
            log_kick = torch.log(2.0 / seen.gap * seen.force_norm)
            one = torch.ones_like(seen.gap)
            rows.append(
                (seen.gap, info.log_p, info.log_p_after, log_kick, seen.force_norm, info.speed, one)
            )

    optimizer.watch(Keep())
    for _ in range(30):
        before, gradient = p.detach().clone(), 2 * scale * p.detach()
        p.grad = gradient
        optimizer.step(loss=(scale * before.square()).sum() + 1)
        moved = p.detach() - before
        slopes.append((float(gradient @ moved), float(2 * scale * p.detach() @ moved)))
    first, last = work(Kicks(*(torch.stack(column) for column in zip(*rows, strict=True))))
    # In the first step |Π| is 0 before the kick.
    assert first[1:].tolist() == pytest.approx([a for a, _ in slopes[1:-1]], rel=1e-7, abs=1e-10)
    assert last.tolist() == pytest.approx([b for _, b in slopes[:-1]], rel=1e-7, abs=1e-10)


def test_no_warning_after_few_steps() -> None:
    few = torch.ones(LEAST_STEPS - 1, dtype=torch.float64)
    assert mismatch(Kicks(*[few] * 7)) is None
