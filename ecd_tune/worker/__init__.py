"""The loop of one worker process: claim, run, heartbeat, record.

Names are imported when first used: a heartbeat needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecd_tune.worker.checkpoint_storage.artifact_checkpoints import ArtifactCheckpoints
    from ecd_tune.worker.checkpoint_storage.base import Checkpoints
    from ecd_tune.worker.checkpoint_storage.folder_checkpoints import FolderCheckpoints
    from ecd_tune.worker.checkpoint_storage.places import open_checkpoints
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

_HOMES = {
    "ArtifactCheckpoints": "checkpoint_storage.artifact_checkpoints",
    "Checkpoints": "checkpoint_storage.base",
    "FolderCheckpoints": "checkpoint_storage.folder_checkpoints",
    "Heartbeat": "heartbeat",
    "StudyWorker": "loop",
    "WorkerSummary": "loop",
    "open_checkpoints": "checkpoint_storage.places",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
