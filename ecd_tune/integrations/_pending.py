"""A loss on its way to the optimizers whose gradients it makes; shared by the integrations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer

__all__ = ["PendingLoss", "TakesLoss", "find_receivers"]


class TakesLoss(Protocol):
    """Interface that the integrations need from an optimizer."""

    param_groups: list[dict[str, Any]]

    def add_loss(self, loss: Tensor | float) -> None:
        """Add to the loss of the next step."""

    def clear_loss(self) -> None:
        """Forget the losses that were added."""


def find_receivers(optimizers: Iterable[Any]) -> list[TakesLoss]:
    """Return the optimizers that take a loss, without the wrappers that libraries put around them.

    Args:
        optimizers: Optimizers of any kind, wrapped or not.

    Returns:
        Those that have ``add_loss``.
    """
    return [bare for bare in map(_unwrap, optimizers) if hasattr(bare, "add_loss")]


def _unwrap(optimizer: Any) -> Any:
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer


class PendingLoss:
    """A loss whose ``backward`` is about to run.

    With several optimizers, for example of a generator and a discriminator, a loss belongs to
    those whose gradients its ``backward`` changes.

    Args:
        loss: The value that ``backward`` is called on, without the factor of a gradient scaler.
        receivers: Optimizers that take a loss.
    """

    def __init__(self, loss: Tensor, receivers: Iterable[TakesLoss]) -> None:
        self._loss = loss.detach()
        self._before = [(receiver, _gradients(receiver)) for receiver in receivers]

    def deliver(self) -> None:
        """Add the loss to the optimizers whose gradients have changed since."""
        for receiver, before in self._before:
            if any(p.grad is not grad or _version(grad) != seen for p, grad, seen in before):
                receiver.add_loss(self._loss)


def _gradients(receiver: TakesLoss) -> list[tuple[Tensor, Tensor | None, int]]:
    params = [p for group in receiver.param_groups for p in group["params"]]
    return [(p, p.grad, _version(p.grad)) for p in params]


def _version(grad: Tensor | None) -> int:
    """Return how often a gradient was written to in place."""
    # FSDP2 adds to the local shard of a DTensor, whose own counter is then unchanged.
    return 0 if grad is None else getattr(grad, "_local_tensor", grad)._version
