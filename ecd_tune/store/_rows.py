"""Find, lock and count a study's trials, and note events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
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
    "lock_studies",
    "send_lock",
    "send_tally",
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
    return _to_tally(study_id, _TALLY.run(connection, study=study_id))


def send_tally(connection: sa.Connection, study_id: int) -> Callable[[], Tally]:
    """Count one study's trials as :func:`take_tally` does, without waiting for it.

    Args:
        connection: A transaction, in a block of ``together``.
        study_id: Optuna's study id.

    Returns:
        What waits, and gives or raises what :func:`take_tally` does.
    """
    answer = _TALLY.send(connection, {"study": study_id})
    return lambda: _to_tally(study_id, answer())


def _to_tally(study_id: int, rows: list[tuple[Any, ...]]) -> Tally:
    if not rows:
        raise StudyNotFoundError(f"study {study_id} is not in this storage any more")
    ((study, optimizer, stage, fingerprint, last_number, waiting, running, lost, leased),) = rows
    next_number = 0 if last_number is None else last_number + 1
    return Tally(
        key=StudyKey(study, optimizer, Stage(stage)),
        fingerprint=fingerprint,
        finished=next_number - waiting - running - lost,
        leased=leased,
        waiting=waiting,
        next_number=next_number,
    )


_STUDY: sa.BindParameter[int] = sa.bindparam("study", type_=sa.Integer)


def _locks(connection: sa.Connection, study_ids: Iterable[int]) -> list[Call]:
    if connection.dialect.name == "sqlite":
        return []
    return [(_LOCK, {"study": study_id}) for study_id in sorted(set(study_ids))]


def _count(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).where(*conditions).scalar_subquery()


def _build_lock() -> sa.Select[Any]:
    table = optuna_schema.studies
    # Not against key shares: a row that merely refers to the study is no decision about it.
    lock = sa.select(table.c.study_id).where(table.c.study_id == _STUDY)
    return lock.with_for_update(key_share=True)


def _build_tally() -> sa.Select[Any]:
    study = _STUDY
    studies, trials = schema.studies, optuna_schema.trials
    runs, leases = schema.runs, schema.leases
    last = sa.select(sa.func.max(trials.c.number)).where(trials.c.study_id == study)
    return sa.select(
        *(studies.c.study, studies.c.optimizer, studies.c.stage, studies.c.fingerprint),
        last.scalar_subquery().label("last"),
        _count(trials.c.study_id == study, trials.c.state == OptunaState.WAITING),
        _count(trials.c.study_id == study, trials.c.state == OptunaState.RUNNING),
        _count(runs.c.study_id == study, runs.c.lost.is_(True)),
        _count(leases.c.study_id == study),
    ).where(studies.c.study_id == study)


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
