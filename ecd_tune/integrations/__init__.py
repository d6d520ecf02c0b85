"""Pass the loss that belongs to the gradient from training libraries to the optimizer.

ECDSep needs the value of the loss at each step, and a library that calls ``optimizer.step()``
does not pass it. One line makes it do so::

    Trainer(callbacks=[LossCallback()])   # Lightning
    attach_loss(fabric, optimizer)        # Lightning Fabric
    attach_loss(accelerator, optimizer)   # Hugging Face Accelerate
    attach_trainer(trainer)               # Hugging Face Trainer

Each passes to ``optimizer.add_loss`` what the library calls ``backward`` on, so that accumulation,
gradient scalers and several processes are right. Optimizers without ``add_loss`` are ignored. Names
are imported when first used: none of the libraries is needed by ecd_tune.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecd_tune.integrations.accelerate import attach_loss
    from ecd_tune.integrations.lightning import LossCallback
    from ecd_tune.integrations.transformers import attach_trainer

__all__ = ["LossCallback", "attach_loss", "attach_trainer"]

_HOMES = {
    "LossCallback": "lightning",
    "attach_loss": "accelerate",
    "attach_trainer": "transformers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
