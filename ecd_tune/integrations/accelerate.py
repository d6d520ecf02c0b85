"""The loss of each ``backward`` of Hugging Face Accelerate or Lightning Fabric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ecd_tune.integrations._pending import PendingLoss, TakesLoss, find_receivers

__all__ = ["attach_loss"]

_OTHER_ENGINES = ("DEEPSPEED", "MEGATRON_LM")


def attach_loss(runner: Any, *optimizers: Any) -> Callable[[], None]:
    """Let every ``runner.backward(loss)`` add its loss to the optimizers.

    ``optimizer.step()`` then needs no argument::

        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        attach_loss(accelerator, optimizer)

    An Accelerator divides the loss by ``gradient_accumulation_steps`` before ``backward``, and
    the optimizer gets the divided loss; Fabric does not, and the optimizer gets what you pass.
    A loss goes to the optimizers whose gradients it changes.

    Args:
        runner: An ``accelerate.Accelerator`` or a ``lightning.fabric.Fabric``.
        *optimizers: Before or after ``prepare`` or ``setup``; those without ``add_loss`` are
            ignored.

    Returns:
        A function that undoes this call.

    Raises:
        TypeError: The first argument has no ``backward``, or no optimizer is given.
        ValueError: The Accelerator uses DeepSpeed or Megatron-LM.
    """
    if not callable(getattr(runner, "backward", None)):
        raise TypeError(
            f"attach_loss: got a {type(runner).__name__} as the first argument; it takes an "
            "Accelerator or a Fabric, then the optimizers: attach_loss(accelerator, optimizer)"
        )
    if not optimizers:
        raise TypeError("attach_loss: got no optimizer; call attach_loss(accelerator, optimizer)")
    engine = str(getattr(getattr(runner, "distributed_type", None), "value", ""))
    if engine in _OTHER_ENGINES:
        raise ValueError(
            f"attach_loss: the Accelerator uses {engine}, which keeps gradients outside of the "
            "parameters; use DDP or FSDP2 instead"
        )
    if not isinstance(runner.backward, _Backward):
        runner.backward = _Backward(runner)
    backward = runner.backward
    new = [o for o in find_receivers(optimizers) if o not in backward.receivers]
    backward.receivers += new

    def detach() -> None:
        backward.receivers = [o for o in backward.receivers if o not in new]

    return detach


class _Backward:
    """Takes the place of ``runner.backward``."""

    def __init__(self, runner: Any) -> None:
        self._runner, self._backward = runner, runner.backward
        self.receivers: list[TakesLoss] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        loss = args[0] if args else kwargs["loss" if "loss" in kwargs else "tensor"]
        if hasattr(self._runner, "gradient_state"):  # an Accelerator
            loss = loss.detach() / self._runner.gradient_accumulation_steps
        pending = PendingLoss(loss, self.receivers)
        result = self._backward(*args, **kwargs)
        pending.deliver()
        return result
