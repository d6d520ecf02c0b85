"""The loss of each ``backward`` of the Hugging Face Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ecd_tune.integrations._pending import find_receivers
from ecd_tune.integrations.accelerate import attach_loss

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "ecd_tune.integrations.transformers: the package transformers is not installed; "
        "run: pip install 'transformers>=5' 'accelerate>=1.15'"
    ) from error

__all__ = ["attach_trainer"]


def attach_trainer(trainer: Any) -> None:
    """Let the Trainer add the loss of every ``backward`` to its optimizer.

    Call it once, before ``trainer.train()``::

        trainer = Trainer(model, args, train_dataset=data, optimizers=(optimizer, None))
        attach_trainer(trainer)

    The Trainer normalises the loss over all micro-batches of a step before ``backward``, so that
    the losses add up as the gradients do. Set ``max_grad_norm=0``: a clipped gradient is not that
    of the loss. An optimizer without ``add_loss`` is ignored.

    Args:
        trainer: A ``transformers.Trainer``; its optimizer may be created later.
    """
    trainer.add_callback(_AttachLoss(trainer))


class _AttachLoss(TrainerCallback):
    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._detach: Callable[[], None] = lambda: None

    def on_train_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        # Each call of train() may have another optimizer, and one that failed has not detached.
        self._detach()
        self._detach = attach_loss(self._trainer.accelerator, optimizer)

    def on_step_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        # The Trainer clears gradients by model.zero_grad(): a step that a gradient scaler has
        # skipped would leave its loss behind.
        for receiver in find_receivers([optimizer]):
            receiver.clear_loss()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._detach()
