"""The loop of one worker process: claim, run, heartbeat, record."""

from ecd_tune.worker.checkpoints import (
    ArtifactCheckpoints,
    Checkpoints,
    FolderCheckpoints,
    open_checkpoints,
)
from ecd_tune.worker.heartbeat import Heartbeat
from ecd_tune.worker.loop import StudyWorker, WorkerSummary

__all__ = [
    "ArtifactCheckpoints",
    "Checkpoints",
    "FolderCheckpoints",
    "Heartbeat",
    "StudyWorker",
    "WorkerSummary",
    "open_checkpoints",
]
