"""The loss of each ``backward`` of a Lightning Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ecd_tune.integrations._pending import PendingLoss, find_receivers

try:
    from lightning.pytorch.callbacks import Callback
except ImportError as error:
    raise ImportError(
        "ecd_tune.integrations.lightning: the package lightning is not installed; "
        "run: pip install 'lightning>=2.6'"
    ) from error

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["LossCallback"]


class LossCallback(Callback):
    """Adds the loss of each ``backward`` to the optimizers whose gradients it changes.

    For automatic and manual optimization; ``optimizer.step()`` then needs no argument::

        Trainer(callbacks=[LossCallback()])

    With ``accumulate_grad_batches`` Lightning divides the loss of each micro-batch, and the losses
    add up as the gradients do. In ``"16-mixed"`` the factor of the gradient scaler is removed.
    Optimizers without ``add_loss`` are ignored.
    """

    def __init__(self) -> None:
        self._pending: PendingLoss | None = None

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Record the loss, and which gradients already exist.

        Args:
            trainer: The trainer.
            pl_module: The module.
            loss: The value that ``backward`` is called on; with a gradient scaler, scaled.
        """
        value = _unscale(loss.detach(), trainer.scaler)
        self._pending = PendingLoss(value, find_receivers(trainer.optimizers))

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the loss where gradients have changed.

        Args:
            trainer: The trainer.
            pl_module: The module.
        """
        if self._pending is not None:
            self._pending.deliver()
            self._pending = None


def _unscale(loss: Tensor, scaler: Any) -> Tensor:
    if scaler is None:
        return loss
    # get_scale() would wait for the device. The factor is a power of 2 unless set otherwise, so
    # that the quotient is exact.
    factor: Tensor = scaler.scale(torch.ones_like(loss))
    return loss / factor
