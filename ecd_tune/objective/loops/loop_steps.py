"""Plan, optimizer and reported numbers of a user's loop."""

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

__all__ = [
    "Trained",
    "check_averaged",
    "check_plan",
    "fit_to_loop",
    "read_number",
    "trained_tensors",
]


def check_plan(plan: RunPlan) -> None:
    """Check that a study asks for nothing that only a task that describes a model can do.

    Args:
        plan: How runs go.

    Raises:
        TaskError: It does.
    """
    default = TrainingSpec().identity()
    asked = [key for key, v in plan.training.identity().items() if v != default.get(key)]
    if foreign := [key for key in asked if key != "clip"]:
        raise TaskError(
            f"[training]: {', '.join(foreign)}: needs a task that describes a model (run.model); "
            "a task with its own loop does this in the loop, for example with a torch scheduler "
            "and run.keep, or with torch.autocast; only clip and device are supported"
        )
    if plan.protocol != "clean":
        raise TaskError(
            f"protocol = {plan.protocol!r}: a task with its own loop reports validation values; "
            "use protocol 'clean'"
        )


class Trained:
    """As much of a problem as an optimizer is made for.

    Args:
        parameters: The trained tensors.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters


def read_number(name: str, value: Any) -> float:
    """Read a number given by a user.

    Args:
        name: Of the method, for the message.
        value: A number, or a tensor or array of one.

    Returns:
        The number.

    Raises:
        TaskError: It is none.
    """
    if isinstance(value, str):
        raise TaskError(f"run.{name}: needs a number; got the text {value!r}")
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
            "run.optimizer: needs the tensors to train, such as model.parameters(); parameter "
            "groups with their own options are not supported"
        )
    trained = [tensor for tensor in given if tensor.requires_grad]
    if not trained:
        raise TaskError("run.optimizer: none of the tensors requires a gradient")
    return trained


def fit_to_loop(
    optimizer: torch.optim.Optimizer, before: Callable[[Tensor], None], clip: float | None
) -> torch.optim.Optimizer:
    """Give an optimizer the methods by which every optimizer serves the same loop.

    ``step(loss=loss)``, ``step(closure)`` and ``add_loss(loss)`` before ``step()`` pass the loss,
    as for ECDSep; training libraries use the last two. ``eval()`` and ``train()`` do nothing where
    an optimizer keeps no average of the weights.

    Args:
        optimizer: Changed in place.
        before: Called with the detached loss before each step.
        clip: Largest norm of the gradient of a step, or None.

    Returns:
        The same optimizer.
    """
    kind = type(optimizer)
    step: Callable[..., Any] = kind.step
    needed = "loss" in signature(step).parameters
    added: list[Tensor] = []

    def add_loss(loss: Any) -> None:
        added.append(torch.as_tensor(loss).detach())

    def zero_grad(set_to_none: bool = True) -> None:
        added.clear()
        kind.zero_grad(optimizer, set_to_none)

    # Named self, and bound: torch's schedulers wrap the function below the method.
    def stepped(self: torch.optim.Optimizer, closure: Any = None, *, loss: Any = None) -> Any:
        if closure is not None:
            with torch.enable_grad():
                returned = closure()
            loss = returned if loss is None else loss
        if added:
            loss = torch.stack([part.reshape(()) for part in added]).sum()
            added.clear()
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise TaskError(
                "optimizer.step: needs the loss of this step, a tensor of one number: "
                f"optimizer.step(loss=loss); got {found}"
            )
        before(loss.detach().reshape(()))
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(
                [p for group in self.param_groups for p in group["params"]], clip
            )
        step(self, loss=loss) if needed else step(self)
        return loss

    methods: dict[str, Callable[..., Any]]
    methods = {"add_loss": add_loss, "clear_loss": added.clear, "zero_grad": zero_grad}
    methods["step"] = MethodType(stepped, optimizer)
    for mode in ("eval", "train"):
        if not hasattr(optimizer, mode):
            methods[mode] = _do_nothing
    vars(optimizer).update(methods)
    return optimizer


def check_averaged(optimizer: torch.optim.Optimizer) -> None:
    """Check that an optimizer which keeps an average has put it into the weights.

    Args:
        optimizer: Of a loop, when the loop reports.

    Raises:
        TaskError: The weights are those that are trained.
    """
    if any(group.get("train_mode", False) for group in optimizer.param_groups):
        raise TaskError(
            f"{type(optimizer).__name__} evaluates an average of the weights: call "
            "optimizer.eval() before the evaluation and optimizer.train() before the training of "
            "each epoch; both do nothing for other optimizers"
        )


def _do_nothing() -> None:
    pass
