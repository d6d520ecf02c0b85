from ecd_tune.tasks.own.definition import task as task
from ecd_tune.tuning import tune as tune

__all__ = ["__version__", "task", "tune"]

__version__: str
