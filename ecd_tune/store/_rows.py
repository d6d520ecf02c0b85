"""Find, lock and count a study's trials, and note events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.errors import StudyNotFoundError
from ecd_tune.records import Direction, Stage, StudyKey
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._sql import now

__all__ = ["StudyRef", "TrialCounts", "add_event", "count_trials", "lock_studies"]


@dataclass(frozen=True)
class StudyRef:
    """One stored study, found by its key.

    Attributes:
        id: Optuna's study id.
        key: Its names.
        direction: Of its metric.
    """

    id: int
    key: StudyKey
    direction: Direction


@dataclass(frozen=True)
class TrialCounts:
    """How a study's trials stand.

    Attributes:
        key: Names of the study.
        fingerprint: Of the study file that it was made from.
        finished: COMPLETE, PRUNED or FAIL, lost attempts left out.
        leased: Running under a lease; a trial that plain Optuna runs is not ours to wait for.
        waiting: Queued.
        next_number: The number that the next new trial gets.
    """

    key: StudyKey
    fingerprint: str
    finished: int
    leased: int
    waiting: int
    next_number: int

    def room(self, target: int) -> int:
        """Return how many new trials may be made when ``target`` are wanted."""
        return max(0, target - self.finished - self.leased - self.waiting)

    def claimable(self, target: int) -> int:
        """Return how many waiting trials may be started when ``target`` are wanted."""
        return max(0, min(self.waiting, target - self.finished - self.leased))


def lock_studies(connection: sa.Connection, study_ids: Iterable[int]) -> None:
    """Lock studies until the transaction ends, in an order that cannot deadlock.

    Args:
        connection: A write transaction (which on SQLite has locked the whole file already).
        study_ids: Optuna's study ids.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(_LOCK, {"studies": sorted(study_ids)})


def count_trials(connection: sa.Connection, study_id: int) -> TrialCounts:
    """Count one study's trials, in one statement: all counts are of the same moment.

    Trial numbers have no gaps, so that only those trials are counted one by one that are not
    finished: the time does not grow with the study.

    Args:
        connection: A transaction. On PostgreSQL a lock that is to hold before must have been
            taken by another statement: one that waits for a lock counts as of before.
        study_id: Optuna's study id.

    Returns:
        The counts at this moment.

    Raises:
        StudyNotFoundError: The study was deleted.
    """
    row = connection.execute(_COUNTS, {"study": study_id}).first()
    if row is None:
        raise StudyNotFoundError(f"study {study_id} is not in this storage any more")
    study, optimizer, stage, fingerprint, number, waiting, running, lost, leased = row
    return TrialCounts(
        key=StudyKey(study, optimizer, Stage(stage)),
        fingerprint=fingerprint,
        finished=number - waiting - running - lost,
        leased=leased,
        waiting=waiting,
        next_number=number,
    )


_STUDY: sa.BindParameter[int] = sa.bindparam("study", type_=sa.Integer)


def _count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    mine = table.c.study_id == _STUDY
    return sa.select(sa.func.count()).where(mine, *conditions).scalar_subquery()


def _build_lock() -> sa.Select[Any]:
    table = optuna_schema.studies
    chosen = table.c.study_id.in_(sa.bindparam("studies", expanding=True))
    # Not against key shares: a row that merely refers to the study is no decision about it.
    return (
        sa.select(table.c.study_id)
        .where(chosen)
        .order_by(table.c.study_id)
        .with_for_update(key_share=True)
    )


def _build_counts() -> sa.Select[Any]:
    studies, trials = schema.studies, optuna_schema.trials
    runs, leases = schema.runs, schema.leases
    last = sa.select(sa.func.max(trials.c.number)).where(trials.c.study_id == _STUDY)
    return sa.select(
        *(studies.c.study, studies.c.optimizer, studies.c.stage, studies.c.fingerprint),
        sa.func.coalesce(last.scalar_subquery() + 1, 0).label("next_number"),
        _count(trials, trials.c.state == OptunaState.WAITING).label("waiting"),
        _count(trials, trials.c.state == OptunaState.RUNNING).label("running"),
        _count(runs, runs.c.lost.is_(True)).label("lost"),
        _count(leases).label("leased"),
    ).where(studies.c.study_id == _STUDY)


_LOCK = _build_lock()
_COUNTS = _build_counts()


def add_event(
    connection: sa.Connection,
    *,
    study_id: int,
    trial_id: int | None,
    kind: str,
    worker: str | None,
    **detail: Any,
) -> None:
    """Note that something happened that a person may ask about later.

    Args:
        connection: A write transaction.
        study_id: Optuna's study id.
        trial_id: The trial, where there is one.
        kind: ``lost``, ``released``, ``fenced`` and so on.
        worker: ``host:pid``, where known.
        **detail: What else is to be known; JSON-able.
    """
    connection.execute(
        sa.insert(schema.events).values(
            time=now(),
            study_id=study_id,
            trial_id=trial_id,
            kind=kind,
            worker=worker,
            detail=json.dumps(detail),
        )
    )
