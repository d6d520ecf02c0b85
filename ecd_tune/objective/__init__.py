"""One trial, or a batch of trials: hyperparameters and a seed in, an outcome out."""

from ecd_tune.objective.checkpoints.checkpoint import (
    Callbacks,
    CheckpointHandle,
    OnStep,
    Prune,
    Report,
)
from ecd_tune.objective.checkpoints.interrupt import Interrupted
from ecd_tune.objective.lanes.lane import Job
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
