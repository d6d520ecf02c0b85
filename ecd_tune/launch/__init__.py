"""Start workers: local processes so far."""

from ecd_tune.launch.local import LocalWorkers, WorkerFailure

__all__ = ["LocalWorkers", "WorkerFailure"]
