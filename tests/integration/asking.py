"""A study to ask trials of."""

from __future__ import annotations

from ecd_tune.records import Lease
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import make_spec

SPEC = make_spec(trials=500)


def ask(store: Store, count: int = 1) -> list[Lease]:
    """Ask for trials as the worker of this process."""
    return store.ask(SPEC, "ecdsep", count=count, worker=Worker.current())
