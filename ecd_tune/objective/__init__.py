"""One trial, or a batch of trials: hyperparameters and a seed in, an outcome out."""

from ecd_tune.objective.checkpoint import Prune, Report, Slot, Tick
from ecd_tune.objective.interrupt import Interrupted
from ecd_tune.objective.objective import Objective

__all__ = ["Interrupted", "Objective", "Prune", "Report", "Slot", "Tick"]
