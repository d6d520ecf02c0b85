"""Start workers: local processes so far."""

from ecd_tune.launch.local import LocalWorkers, WorkerState, WorkerView
from ecd_tune.launch.placement import Placement, find_gpus, plan_placements, usable_cores

__all__ = [
    "LocalWorkers",
    "Placement",
    "WorkerState",
    "WorkerView",
    "find_gpus",
    "plan_placements",
    "usable_cores",
]
