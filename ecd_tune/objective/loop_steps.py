"""The optimizer that a loop of one's own is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import signature
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from ecd_tune.errors import TaskError

__all__ = ["take_loss", "trained_tensors"]


def trained_tensors(parameters: Iterable[Any]) -> list[Tensor]:
    """Return those tensors that require a gradient.

    Args:
        parameters: As a user gives them.

    Returns:
        At least one tensor.

    Raises:
        TaskError: They are no tensors, or none requires a gradient.
    """
    given = list(parameters)
    if not all(isinstance(tensor, Tensor) for tensor in given):
        raise TaskError(
            "run.optimizer: needs the tensors to train, such as model.parameters(); groups with "
            "options of their own are not searched"
        )
    trained = [tensor for tensor in given if tensor.requires_grad]
    if not trained:
        raise TaskError("run.optimizer: no tensor is given that requires a gradient")
    return trained


def take_loss(
    optimizer: torch.optim.Optimizer, before: Callable[[Tensor], None]
) -> torch.optim.Optimizer:
    """Make an optimizer's ``step`` take ``loss=`` and nothing else, whichever it is.

    Args:
        optimizer: Changed in place.
        before: Called with the detached loss before each step.

    Returns:
        The same optimizer.
    """
    step: Callable[..., Any] = type(optimizer).step
    needed = "loss" in signature(step).parameters

    # Named self, and bound: torch's schedulers wrap the function below the method.
    def stepped(self: torch.optim.Optimizer, closure: Any = None, *, loss: Any = None) -> Any:
        if closure is not None or not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise TaskError(
                f"optimizer.step: give the loss of this step alone, a tensor of one number, "
                f"optimizer.step(loss=loss); got {'a closure' if closure is not None else found}"
            )
        before(loss.detach().reshape(()))
        return step(self, loss=loss) if needed else step(self)

    optimizer.step = MethodType(stepped, optimizer)  # type: ignore[method-assign]
    return optimizer
