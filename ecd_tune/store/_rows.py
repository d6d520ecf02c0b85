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
from ecd_tune.store._clock import now
from ecd_tune.store._statement import Call, Statement, run_together

__all__ = [
    "StudyRef",
    "Tally",
    "add_event",
    "build_gate",
    "lock_studies",
    "send_lock",
    "take_tally",
]


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
class Tally:
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
        return max(0, int(_room(target, self.finished, self.leased, self.waiting)))

    def claimable(self, target: int) -> int:
        """Return how many waiting trials may be started when ``target`` are wanted."""
        return max(0, min(self.waiting, target - self.finished - self.leased))


def lock_studies(connection: sa.Connection, study_ids: Iterable[int]) -> None:
    """Lock studies until the transaction ends, in an order that cannot deadlock.

    Args:
        connection: A write transaction (which on SQLite has locked the whole file already).
        study_ids: Optuna's study ids.
    """
    run_together(connection, _locks(connection, study_ids))


def send_lock(connection: sa.Connection, study_id: int) -> None:
    """Lock a study until the transaction ends, without waiting for it here.

    Args:
        connection: A write transaction, in a block of ``together``.
        study_id: Optuna's study id.
    """
    for statement, values in _locks(connection, [study_id]):
        statement.send(connection, values)


def take_tally(connection: sa.Connection, study_id: int) -> Tally:
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
    rows = _TALLY.run(connection, study=study_id)
    if not rows:
        raise StudyNotFoundError(f"study {study_id} is not in this storage any more")
    ((study, optimizer, stage, *rest),) = rows
    return Tally(StudyKey(study, optimizer, Stage(stage)), *rest)


def build_gate() -> sa.Select[Any]:
    """Build the question whether new trials may be made that were drawn before the study's lock.

    Its parameters are ``study``, ``name``, ``optimizer``, ``stage`` and ``fingerprint``: of the
    study; ``target``: how many trials are wanted; ``first``: the number that the first one was
    drawn for; ``anywhere``: whether another number will do as well.

    Returns:
        One row, with ``shift``: from ``first`` to the number that is free; and ``room``: how many
        trials are still wanted. None where none may be made: others have the numbers, queued
        trials come first, nothing is wanted any more, or the study is not the one that was meant.
    """
    tally = _build_tally().cte("tally")
    target, first = (sa.bindparam(name, type_=sa.Integer) for name in ("target", "first"))
    room = _room(target, tally.c.finished, tally.c.leased, tally.c.waiting)
    return sa.select((tally.c.next_number - first).label("shift"), room.label("room")).where(
        tally.c.study == sa.bindparam("name", type_=sa.String()),
        *(
            tally.c[name] == sa.bindparam(name, type_=sa.String())
            for name in ("optimizer", "stage", "fingerprint")
        ),
        sa.or_(
            tally.c.next_number == first,
            sa.bindparam("anywhere", type_=sa.Integer) == 1,
        ),
        tally.c.waiting == 0,
        room > 0,
    )


def _room(target: Any, finished: Any, leased: Any, waiting: Any) -> Any:
    # Of numbers or of columns.
    return target - finished - leased - waiting


_STUDY: sa.BindParameter[int] = sa.bindparam("study", type_=sa.Integer)


def _locks(connection: sa.Connection, study_ids: Iterable[int]) -> list[Call]:
    if connection.dialect.name == "sqlite":
        return []
    return [(_LOCK, {"study": study_id}) for study_id in sorted(set(study_ids))]


def _count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    mine = table.c.study_id == _STUDY
    return sa.select(sa.func.count()).where(mine, *conditions).scalar_subquery()


def _build_lock() -> sa.Select[Any]:
    table = optuna_schema.studies
    # Not against key shares: a row that merely refers to the study is no decision about it.
    lock = sa.select(table.c.study_id).where(table.c.study_id == _STUDY)
    return lock.with_for_update(key_share=True)


def _build_tally() -> sa.Select[Any]:
    studies, trials = schema.studies, optuna_schema.trials
    runs, leases = schema.runs, schema.leases
    last = sa.select(sa.func.max(trials.c.number)).where(trials.c.study_id == _STUDY)
    counted = (
        sa.select(
            *(studies.c.study, studies.c.optimizer, studies.c.stage, studies.c.fingerprint),
            sa.func.coalesce(last.scalar_subquery() + 1, 0).label("next_number"),
            _count(trials, trials.c.state == OptunaState.WAITING).label("waiting"),
            _count(trials, trials.c.state == OptunaState.RUNNING).label("running"),
            _count(runs, runs.c.lost.is_(True)).label("lost"),
            _count(leases).label("leased"),
        )
        .where(studies.c.study_id == _STUDY)
        .cte("counted")
        # Or else everything is counted again wherever one of the numbers is used.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    finished = counted.c.next_number - counted.c.waiting - counted.c.running - counted.c.lost
    return sa.select(
        *(counted.c[name] for name in ("study", "optimizer", "stage", "fingerprint")),
        finished.label("finished"),
        *(counted.c[name] for name in ("leased", "waiting", "next_number")),
    )


_LOCK = Statement(_build_lock())
_TALLY = Statement(_build_tally())


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
