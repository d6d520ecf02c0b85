"""Optimizers: ECDSep, its variants and baselines, for single trials and batches.

Names are imported on first use: :data:`OPTIMIZER_DEFS` can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ecd_tune.optim.definitions import OPTIMIZER_DEFS

if TYPE_CHECKING:
    from ecd_tune.optim.batched.ecdsep import BatchedECDSep, BatchedOptimizer, RefillableOptimizer
    from ecd_tune.optim.bbi.optimizer import BBI
    from ecd_tune.optim.ecdsep import ECDSep
    from ecd_tune.optim.self_tuning.ecdsep_f0 import ECDSepF0
    from ecd_tune.optim.unit_speed.optimizer import ECDq1, auto

__all__ = [
    "BBI",
    "OPTIMIZER_DEFS",
    "BatchedECDSep",
    "BatchedOptimizer",
    "RefillableOptimizer",
    "ECDSep",
    "ECDSepF0",
    "ECDq1",
    "auto",
]

_HOMES = {
    "BBI": "bbi.optimizer",
    "BatchedECDSep": "batched.ecdsep",
    "BatchedOptimizer": "batched.ecdsep",
    "RefillableOptimizer": "batched.ecdsep",
    "ECDSep": "ecdsep",
    "ECDSepF0": "self_tuning.ecdsep_f0",
    "ECDq1": "unit_speed.optimizer",
    "auto": "unit_speed.optimizer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
