"""The small study of the contract, and the simplest ways to work on it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna

from ecd_tune.records import Lease, Outcome, Status, StudyKey
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store, Worker

__all__ = [
    "OPTIMIZER",
    "RANGES",
    "complete",
    "complete_value",
    "make_spec",
    "plain_optuna",
    "reap_expired",
    "work",
]

RANGES: Mapping[str, Any] = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "eta": {"low": 1.0, "high": 6.0},
    "s": 1,
}
"""Its search space, as in a study file."""
OPTIMIZER = "ecdsep"
"""Key of the study's only optimizer."""


def make_spec(
    sampler: str = "random",
    trials: int | None = 6,
    space: Mapping[str, Any] = RANGES,
    **changes: Any,
) -> StudySpec:
    """Return a small study of one optimizer.

    Args:
        sampler: Its name.
        trials: The budget.
        space: The search space, as in a study file.
        **changes: Further tables of the study file.

    Returns:
        The study.
    """
    data = {
        "name": "contract",
        "task": {"name": "zakharov"},
        "budget": {"trials": trials, "steps": 10},
        "sampler": {"name": sampler},
        "optimizers": {OPTIMIZER: {"space": space}},
    }
    return StudySpec.model_validate({**data, **changes})


def complete(leases: Sequence[Lease]) -> list[tuple[Lease, Outcome]]:
    """Return a result for each lease: a smooth function of the parameters."""
    return [
        (lease, Outcome(Status.COMPLETE, complete_value(lease.request.params))) for lease in leases
    ]


def work(url: str, spec: StudySpec, count: int) -> int:
    """Work until no trial is assigned, like one worker process.

    Args:
        url: The storage.
        spec: A study that was created there.
        count: Trials to ask for at once.

    Returns:
        How many trials this worker finished.
    """
    told, worker = 0, Worker.current()
    with Store.open(url) as store:
        while leases := store.ask(spec, OPTIMIZER, count=count, worker=worker):
            told += sum(store.tell(complete(leases)))
    return told


def reap_expired(store: Store, keys: Sequence[StudyKey] | None = None) -> int:
    """Look for as long as a lease lasts, as an idle worker does; short leases make it quick.

    Args:
        store: Uses its ``lease_seconds``.
        keys: As for :meth:`ecd_tune.store.Store.reap`.

    Returns:
        How many trials were queued again.
    """
    count = store.reap(keys)
    for _ in range(3):
        time.sleep(store.lease_seconds / 2)
        count += store.reap(keys)
    return count


@contextmanager
def plain_optuna(url: str, name: str = "contract/ecdsep") -> Iterator[optuna.Study]:
    """Open a study as plain Optuna does, without ecd_tune.

    Args:
        url: The storage.
        name: Name of the study.

    Yields:
        Optuna's study.
    """
    storage = optuna.storages.RDBStorage(url)
    try:
        yield optuna.load_study(study_name=name, storage=storage)
    finally:
        storage.scoped_session.remove()
        storage.engine.dispose()


def complete_value(params: Mapping[str, Any]) -> float:
    """Return the value that :func:`complete` stores for these hyperparameters."""
    return float((math.log10(params["lr"]) + 2.0) ** 2 + (params["eta"] - 3.0) ** 2)
