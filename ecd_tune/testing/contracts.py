"""All contracts in one place: for tasks, optimizers, launchers and databases.

::

    from ecd_tune.testing.contracts import StoreContract

Names are imported when first used: a store's contract needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecd_tune.testing.interruption import InterruptionContract
    from ecd_tune.testing.launcher import LauncherContract
    from ecd_tune.testing.optimizer import BatchedOptimizerContract, OptimizerContract
    from ecd_tune.testing.store import StoreContract
    from ecd_tune.testing.task import BatchedTaskContract, TaskContract

__all__ = [
    "BatchedOptimizerContract",
    "BatchedTaskContract",
    "InterruptionContract",
    "LauncherContract",
    "OptimizerContract",
    "StoreContract",
    "TaskContract",
]

_HOMES = {
    "BatchedOptimizerContract": "optimizer",
    "BatchedTaskContract": "task",
    "InterruptionContract": "interruption",
    "LauncherContract": "launcher",
    "OptimizerContract": "optimizer",
    "StoreContract": "store",
    "TaskContract": "task",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ecd_tune.testing.{_HOMES[name]}"), name)
