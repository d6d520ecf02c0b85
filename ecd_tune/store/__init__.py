"""The shared store of trials: create, ask, lease, tell, reap, read."""

from ecd_tune.store.db.schema import SchemaState, schema_state
from ecd_tune.store.db.url import DEFAULT_URL
from ecd_tune.store.events import Event
from ecd_tune.store.store import LEASE_SECONDS, Store
from ecd_tune.store.trials.curves import CurvePoint, ReportBuffer
from ecd_tune.store.trials.progress import Progress
from ecd_tune.store.trials.queue import QueueItem
from ecd_tune.store.workers import HeldTrial, Worker, WorkerRecord

__all__ = [
    "DEFAULT_URL",
    "LEASE_SECONDS",
    "CurvePoint",
    "Event",
    "HeldTrial",
    "Progress",
    "QueueItem",
    "ReportBuffer",
    "SchemaState",
    "Store",
    "Worker",
    "WorkerRecord",
    "schema_state",
]
