"""The Python face: tune a task of one's own from a script or a notebook."""

from ecd_tune.tuning.study import Best, TunedStudy
from ecd_tune.tuning.tune import tune

__all__ = ["Best", "TunedStudy", "tune"]
