"""One trial, or a batch of trials: hyperparameters and a seed in, an outcome out."""

from ecd_tune.objective.checkpoint import Audience, Prune, Report, Slot, Tick
from ecd_tune.objective.interrupt import Interrupted
from ecd_tune.objective.lane import Job
from ecd_tune.objective.objective import Objective

__all__ = ["Audience", "Interrupted", "Job", "Objective", "Prune", "Report", "Slot", "Tick"]
