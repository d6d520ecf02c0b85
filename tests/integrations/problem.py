"""A small problem, and the loops by hand that the libraries are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from ecd_tune.optim import ECDSep

__all__ = [
    "Losses",
    "by_hand",
    "make_data",
    "make_loader",
    "make_model",
    "make_optimizer",
    "same",
    "train_by_hand",
]


class Losses:
    """Notes the loss of each step of an optimizer, in whatever form it makes the step."""

    def __init__(self, optimizer: ECDSep) -> None:
        self.values: list[float] = []
        check = optimizer._check_loss

        def noted(value: float, step: int) -> None:
            self.values.append(value)
            check(value, step)

        optimizer._check_loss = noted  # type: ignore[method-assign]
        optimizer.register_step_post_hook(lambda *_: None)  # what has a hook takes this way


def make_data(n: int = 24) -> TensorDataset:
    """Return points in three classes."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 4, generator=generator)
    return TensorDataset(x, (x[:, :3] + 0.3 * x[:, 1:]).argmax(1))


def make_loader(batch_size: int = 8, n: int = 24) -> DataLoader[Any]:
    """Return the points in batches, always in the same order."""
    return DataLoader(make_data(n), batch_size=batch_size)


def make_model() -> nn.Module:
    """Return a network, always with the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def make_optimizer(params: Iterable[Any], **changes: Any) -> ECDSep:
    """Return an ECDSep with noise, so that a lost seed or a skipped step shows."""
    return ECDSep(params, **{"lr": 0.1, "eta": 2.0, "nu": 0.01, "seed": 3, **changes})


def train_by_hand(
    model: nn.Module,
    optimizer: ECDSep,
    batches: Iterable[Sequence[Tensor]],
    *,
    accumulate: int = 1,
    factor: float = 1.0,
) -> list[float]:
    """Train with ``step(loss=...)``, the sum of what ``backward`` was called on.

    Args:
        model: A classifier.
        optimizer: Its optimizer.
        batches: Points and classes; of micro-batches a multiple of ``accumulate``.
        accumulate: Micro-batches of a step, each with this share of the loss.
        factor: Of the loss.

    Returns:
        The loss of each step.
    """
    losses, shares = [], []
    for x, y in batches:
        share = F.cross_entropy(model(x), y) * factor / accumulate
        share.backward()
        shares.append(share.detach().double())
        if len(shares) == accumulate:
            loss = torch.stack(shares).sum()
            optimizer.step(loss=loss)
            optimizer.zero_grad()
            losses.append(loss.item())
            shares = []
    return losses


def by_hand(
    batch_size: int = 8, *, accumulate: int = 1, epochs: int = 2
) -> tuple[nn.Module, ECDSep, list[float]]:
    """Return model, optimizer and losses of a whole run by hand."""
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    batches = [batch for _ in range(epochs) for batch in make_loader(batch_size)]
    return model, optimizer, train_by_hand(model, optimizer, batches, accumulate=accumulate)


def same(one: nn.Module, other: nn.Module, tolerance: float = 0.0) -> bool:
    """Return whether two models have equal parameters; within a tolerance if one is given."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs)
