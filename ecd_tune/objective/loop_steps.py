"""What goes into a loop of one's own and comes out of it: its plan, its optimizer, its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import signature
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from ecd_tune.errors import TaskError
from ecd_tune.objective.single import RunPlan
from ecd_tune.spec import TrainingSpec

__all__ = ["Trained", "check_plan", "read_number", "take_loss", "trained_tensors"]


def check_plan(plan: RunPlan) -> None:
    """Check that a study asks for nothing that only a task that describes a model can do.

    Args:
        plan: How runs go.

    Raises:
        TaskError: It does.
    """
    if plan.training.identity() != TrainingSpec().identity():
        raise TaskError(
            "[training]: is for tasks that describe a model (run.model); this one keeps its own "
            "loop, which has its schedule, clipping and precision in it"
        )
    if plan.protocol != "clean":
        raise TaskError(
            f"protocol = {plan.protocol!r}: a task that keeps its own loop reports validation "
            "values; use protocol 'clean'"
        )


class Trained:
    """As much of a problem as an optimizer is made for.

    Args:
        parameters: What is trained.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters


def read_number(name: str, value: Any) -> float:
    """Read what a user gives as a number.

    Args:
        name: Of the method, for the message.
        value: A number, or a tensor or array of one.

    Returns:
        The number.

    Raises:
        TaskError: It is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"run.{name}: needs a number; got {type(value).__name__} ({error})"
        ) from None


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
