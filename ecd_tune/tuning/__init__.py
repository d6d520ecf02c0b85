"""The Python API: tune a user task from a script or a notebook."""

from ecd_tune.tuning.study import Best, TunedStudy
from ecd_tune.tuning.tune import tune

__all__ = ["Best", "TunedStudy", "tune"]
