"""Assign trials to workers for as long as they renew their leases."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Lease, RunRequest
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.cells import load, utc_now
from ecd_tune.store.db.sql import insert_rows, now
from ecd_tune.store.studies import StudyRef, lock_studies
from ecd_tune.store.trials.retries import count_promotions, load_counts
from ecd_tune.store.workers import Worker, touch

__all__ = [
    "REQUEST_COLUMNS",
    "Grant",
    "claim_waiting",
    "find_batch",
    "insert_leases",
    "renew_leases",
]


@dataclass(frozen=True)
class Grant:
    """To whom trials are leased.

    Attributes:
        worker: Who gets them.
        seconds: Length of the lease.
        batch: Names the ask or claim.
    """

    worker: Worker
    seconds: float
    batch: str


def insert_leases(
    connection: sa.Connection, study_id: int, trial_ids: Sequence[int], grant: Grant
) -> dict[int, int]:
    """Lease trials that run from now on.

    Args:
        connection: A write transaction.
        study_id: Optuna's study id.
        trial_ids: The trials.
        grant: Who gets them; its worker's row is there.

    Returns:
        Trial id to fencing token.
    """
    tokens = {trial_id: secrets.randbits(_TOKEN_BITS) for trial_id in trial_ids}
    common = {
        "study_id": study_id,
        "worker_id": grant.worker.id,
        "batch": grant.batch,
        "seconds": grant.seconds,
    }
    rows = [{"trial_id": trial_id, "token": token} for trial_id, token in tokens.items()]
    insert_rows(connection, _LEASES, rows, common=common, computed=_EXPIRY)
    return tokens


def claim_waiting(
    connection: sa.Connection, ref: StudyRef, count: int, grant: Grant
) -> list[Lease]:
    """Lease waiting trials, the longest waiting first.

    Where several workers claim at the same moment, each passes over what another has locked.

    Args:
        connection: A write transaction; no lock of the study is needed.
        ref: The study.
        count: Largest number.
        grant: Who gets them; its worker's row is there.

    Returns:
        The leases; fewer than ``count`` when fewer wait.
    """
    trials, runs = optuna_tables.trials, tables.runs
    ids = connection.execute(
        sa.select(trials.c.trial_id)
        .join(runs, runs.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == ref.id, trials.c.state == OptunaState.WAITING)
        .order_by(trials.c.number)
        .limit(count)
        .with_for_update(of=trials, skip_locked=True)
    ).scalars()
    taken = list(ids)
    if not taken:
        return []
    connection.execute(
        sa.update(trials)
        .where(trials.c.trial_id.in_(taken))
        .values(state=OptunaState.RUNNING, datetime_start=utc_now())
    )
    mine = runs.c.trial_id.in_(taken)
    connection.execute(sa.update(runs).where(mine).values(worker=grant.worker.name))
    insert_leases(connection, ref.id, taken, grant)
    return _read_leases(connection, ref, tables.leases.c.trial_id.in_(taken))


def find_batch(connection: sa.Connection, ref: StudyRef, batch: str) -> list[Lease]:
    """Find what an ask or claim was given whose answer was lost on the way.

    Args:
        connection: A write transaction; it waits for the first try to be decided.
        ref: The study.
        batch: Names the call.

    Returns:
        Its leases, by number.
    """
    lock_studies(connection, [ref.id])
    return _read_leases(connection, ref, tables.leases.c.batch == batch)


def _read_leases(
    connection: sa.Connection, ref: StudyRef, condition: sa.ColumnElement[bool]
) -> list[Lease]:
    leases, runs, trials = tables.leases, tables.runs, optuna_tables.trials
    statement = (
        sa.select(trials.c.trial_id, trials.c.number, leases.c.token, *REQUEST_COLUMNS)
        .join(leases, leases.c.trial_id == trials.c.trial_id)
        .join(runs, runs.c.trial_id == trials.c.trial_id)
        .where(condition)
        .order_by(trials.c.number)
    )
    return [_to_lease(ref, row) for row in connection.execute(statement)]


_RUNS = tables.runs
REQUEST_COLUMNS = (
    _RUNS.c.attempt,
    _RUNS.c.params,
    _RUNS.c.seed,
    _RUNS.c.source,
    _RUNS.c.history,
)
"""The trial's data in a lease."""


def _to_lease(ref: StudyRef, row: Any) -> Lease:
    return Lease(
        key=ref.key,
        trial_id=row.trial_id,
        number=row.number,
        token=row.token,
        attempt=row.attempt,
        request=RunRequest(load(row.params), row.seed, ref.key.data_stage),
        source=row.source,
        promotions=count_promotions(load_counts(row.history)),
    )


def renew_leases(connection: sa.Connection, leases: Sequence[Lease], seconds: float) -> list[bool]:
    """Renew valid leases.

    Args:
        connection: A write transaction.
        leases: The leases; all of one worker.
        seconds: From now on.

    Returns:
        For each lease whether it is still valid.
    """
    table = tables.leases
    mine = table.c.token.in_([lease.token for lease in leases])
    renewal = sa.update(table).where(mine).values(expires_at=now() + seconds)
    rows = connection.execute(renewal.returning(table.c.token, table.c.worker_id)).all()
    for worker_id in {row.worker_id for row in rows}:
        touch(connection, worker_id)
    standing = {row.token for row in rows}
    return [lease.token in standing for lease in leases]


_LEASES = tables.leases
_TOKEN_BITS = 63
_EXPIRY = (now() + sa.bindparam("seconds", type_=sa.Double())).label("expires_at")
