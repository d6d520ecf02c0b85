"""The loop of one worker process: claim, run, heartbeat, record.

Names are imported when first used: a heartbeat needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecd_tune.worker.artifact_checkpoints import ArtifactCheckpoints
    from ecd_tune.worker.checkpoints import Checkpoints
    from ecd_tune.worker.folder_checkpoints import FolderCheckpoints
    from ecd_tune.worker.heartbeat import Heartbeat
    from ecd_tune.worker.loop import StudyWorker, WorkerSummary
    from ecd_tune.worker.places import open_checkpoints

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
    "ArtifactCheckpoints": "artifact_checkpoints",
    "Checkpoints": "checkpoints",
    "FolderCheckpoints": "folder_checkpoints",
    "Heartbeat": "heartbeat",
    "StudyWorker": "loop",
    "WorkerSummary": "loop",
    "open_checkpoints": "places",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
