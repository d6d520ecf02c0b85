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
from ecd_tune.store.db.sql import Change, now, write_rows
from ecd_tune.store.studies import StudyRef, lock_studies
from ecd_tune.store.trials.retries import count_promotions, load_counts
from ecd_tune.store.workers import Worker, seen_again

__all__ = [
    "REQUEST_COLUMNS",
    "Grant",
    "claim_waiting",
    "find_batch",
    "new_leases",
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


def new_leases(
    study_id: int, trial_ids: Sequence[int], grant: Grant
) -> tuple[dict[int, int], Change]:
    """Lease trials that run from now on.

    Args:
        study_id: Optuna's study id.
        trial_ids: The trials.
        grant: Who gets them; its worker's row exists, or is written at the same time.

    Returns:
        Trial id to fencing token, and the change that stores the leases.
    """
    tokens = {trial_id: secrets.randbits(_TOKEN_BITS) for trial_id in trial_ids}
    common = {
        "study_id": study_id,
        "worker_id": grant.worker.id,
        "batch": grant.batch,
        "expires_at": grant.seconds,
    }
    rows = [{"trial_id": trial_id, "token": token, **common} for trial_id, token in tokens.items()]
    return tokens, Change(tables.leases, rows, from_now=("expires_at",))


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
    running = {"state": OptunaState.RUNNING, "datetime_start": utc_now()}
    write_rows(
        connection,
        Change(trials, [{"trial_id": i, **running} for i in taken], key="trial_id"),
        Change(runs, [{"trial_id": i, "worker": grant.worker.name} for i in taken], key="trial_id"),
        new_leases(ref.id, taken, grant)[1],
    )
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
    values = {"tokens": [lease.token for lease in leases], "seconds": seconds}
    rows = connection.execute(_RENEW, values).all()
    write_rows(connection, seen_again({row.worker_id for row in rows}))
    standing = {row.token for row in rows}
    return [lease.token in standing for lease in leases]


def _build_renew() -> Any:
    table = tables.leases
    return (
        sa.update(table)
        .where(table.c.token.in_(sa.bindparam("tokens", expanding=True)))
        .values(expires_at=now() + sa.bindparam("seconds", type_=sa.Double))
        .returning(table.c.token, table.c.worker_id)
    )


_RENEW = _build_renew()
_TOKEN_BITS = 63
