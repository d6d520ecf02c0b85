"""A small regression that is trained whole, or spread over the ranks of a process group.

Its layers are awkward on purpose: 7 rows do not divide by 2 ranks, and of a layer with one row
one rank holds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ecd_tune.optim import BBI, ECDSep, ECDSepF0
from tests.integrations.distributed.harness import beat

__all__ = [
    "OPTIMIZERS",
    "batch",
    "flat",
    "forked",
    "loss_of",
    "network",
    "share",
    "counts_of",
    "train",
    "train_whole",
]

ROWS = 8

Make = Callable[..., Any]

OPTIMIZERS: dict[str, Make] = {
    "ecdsep": lambda params, **given: ECDSep(
        params, **{"lr": 0.05, "eta": 2.0, "nu": 0.02, "F0": -0.5, "seed": 7, **given}
    ),
    "ecdsep_s0": lambda params, **given: ECDSep(
        params,
        **{"lr": 0.05, "eta": 1.5, "nu": 0.02, "F0": -0.5, "s": 0, "seed": 7}
        | {"weight_decay": 0.01, **given},
    ),
    "ecdsep_sync": lambda params, **given: ECDSep(
        params,
        **{"lr": 0.05, "eta": 2.0, "nu": 0.02, "F0": -0.5, "integrator": "sync", "seed": 7}
        | {"weight_decay": 0.01, **given},
    ),
    "ecdsep_sync_s0": lambda params, **given: ECDSep(
        params,
        **{"lr": 0.05, "eta": 2.0, "nu": 0.02, "F0": -0.5, "integrator": "sync", "seed": 7}
        | {"s": 0, "weight_decay": 0.02, "decoupled_weight_decay": True, **given},
    ),
    "ecdsep_auto": lambda params, **given: ECDSep(
        params, **{"lr": "auto", "eta": 2.0, "nu": "auto", "F0": "auto", "seed": 7, **given}
    ),
    "ecdsep_f0": lambda params, **given: ECDSepF0(
        params, **{"lr": 0.05, "eta": 3, "nu": 0.02, "F0": 1.0, "seed": 7, **given}
    ),
    "bbi": lambda params, **given: BBI(
        params, **{"lr": 0.02, "v0": -0.5, "T0": 6, "T1": 4, "n_bounces": 2, "seed": 7, **given}
    ),
}
"""Optimizers whose random numbers matter, by name."""


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Return the same network at every call."""
    generator = torch.Generator().manual_seed(1)
    layers = nn.Sequential(
        nn.Linear(5, 7, dtype=dtype),
        nn.Tanh(),
        nn.Linear(7, 12, dtype=dtype),
        nn.Tanh(),
        nn.Linear(12, 3, bias=False, dtype=dtype),
        nn.Linear(3, 1, dtype=dtype),
    )
    with torch.no_grad():
        for p in layers.parameters():
            # Drawn in one dtype, so that networks of two dtypes are the same.
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5)
    return layers


def forked(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Return a network of which ``forward(x, step)`` leaves one branch out at times."""
    return _Forked(dtype)


class _Forked(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        body = network(dtype)
        self.body = body[:4]
        self.left = body[4:]
        self.right = nn.Linear(12, 1, dtype=dtype)
        with torch.no_grad():
            for p in self.right.parameters():
                p.fill_(0.1)

    def forward(self, x: Tensor, step: int) -> Tensor:
        shared = self.body(x)
        # The right branch is new at step 2, and away again at steps 5, 8, 11, …
        if step < 2 or step % 3 == 2:
            return self.left(shared)
        return self.left(shared) + self.right(shared)


def batch(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of a step, the same on all ranks."""
    generator = torch.Generator().manual_seed(100 + step)
    x = torch.randn(ROWS, 5, generator=generator, dtype=torch.float64)
    return x.to(dtype), x[:, :1].sin().to(dtype)


def share(x: Tensor) -> Tensor:
    """Return the rows of this rank."""
    return x.tensor_split(dist.get_world_size())[dist.get_rank()]


def loss_of(model: nn.Module, x: Tensor, y: Tensor, step: int | None = None) -> Tensor:
    """Return the mean squared error."""
    out = model(x) if step is None else model(x, step)
    return (out - y).square().mean()


def train(
    model: nn.Module,
    optimizer: Any,
    steps: Iterable[int],
    *,
    spread: bool = False,
    fork: bool = False,
) -> list[float]:
    """Train, and return the losses.

    Args:
        model: Network.
        optimizer: An optimizer that needs the loss.
        steps: Numbers of the batches.
        spread: Give each rank its rows of the batch alone.
        fork: The network is a :func:`forked` one.
    """
    dtype = next(model.parameters()).dtype
    losses = []
    for step in steps:
        optimizer.zero_grad()
        x, y = batch(step, dtype)
        if spread:
            x, y = share(x), share(y)
        loss = loss_of(model, x, y, step if fork else None)
        loss.backward()
        optimizer.step(loss=loss)
        beat()
        losses.append(float(loss.detach()))
    return losses


def flat(params: Iterable[Tensor]) -> Tensor:
    """Return parameters as one vector, gathered from all ranks where they are DTensors."""
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in params]
    return torch.cat([p.detach().flatten() for p in whole])


def train_whole(
    name: str,
    steps: int,
    dtype: torch.dtype = torch.float64,
    make: Callable[[torch.dtype], nn.Module] = network,
    **given: Any,
) -> Tensor:
    """Return the parameters after a run in one process."""
    model = make(dtype)
    optimizer = OPTIMIZERS[name](model.parameters(), **given)
    train(model, optimizer, range(steps), fork=make is forked)
    return flat(model.parameters())


def counts_of(optimizer: Any) -> dict[str, Any]:
    """Return what an optimizer reports, but the form of its steps, which shards do not share."""
    return {k: v for k, v in optimizer.report().items() if not k.startswith("form")}
