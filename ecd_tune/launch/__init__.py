"""Start workers: on this machine, or through an engine that places them on others."""

from ecd_tune.launch.base import Group, Launch, Launcher, WorkerState, WorkerView
from ecd_tune.launch.engines import make_launcher
from ecd_tune.launch.local import LocalWorkers
from ecd_tune.launch.placement import Placement, find_gpus, plan_placements, usable_cores

__all__ = [
    "Group",
    "Launch",
    "Launcher",
    "LocalWorkers",
    "Placement",
    "WorkerState",
    "WorkerView",
    "find_gpus",
    "make_launcher",
    "plan_placements",
    "usable_cores",
]
