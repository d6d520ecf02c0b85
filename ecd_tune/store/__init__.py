"""The shared store of trials: create, ask, lease, tell, reap, read."""

from ecd_tune.store._queue import QueueItem
from ecd_tune.store.progress import Progress
from ecd_tune.store.pruning import TrialPruner
from ecd_tune.store.read import Event, HeldTrial, WorkerRecord
from ecd_tune.store.reports import CurvePoint, ReportBuffer
from ecd_tune.store.retries import Cause, cause_of
from ecd_tune.store.state import SchemaState, schema_state
from ecd_tune.store.store import LEASE_SECONDS, Store
from ecd_tune.store.url import DEFAULT_URL
from ecd_tune.store.workers import Worker

__all__ = [
    "DEFAULT_URL",
    "LEASE_SECONDS",
    "Cause",
    "CurvePoint",
    "Event",
    "HeldTrial",
    "Progress",
    "QueueItem",
    "ReportBuffer",
    "SchemaState",
    "Store",
    "TrialPruner",
    "Worker",
    "WorkerRecord",
    "cause_of",
    "schema_state",
]
