"""One trial, or a batch of trials: hyperparameters and a seed in, an outcome out."""

from ecd_tune.objective.checkpoint import Callbacks, CheckpointHandle, OnStep, Prune, Report
from ecd_tune.objective.interrupt import Interrupted
from ecd_tune.objective.lane import Job
from ecd_tune.objective.objective import Objective

__all__ = [
    "Callbacks",
    "Interrupted",
    "Job",
    "Objective",
    "Prune",
    "Report",
    "CheckpointHandle",
    "OnStep",
]
