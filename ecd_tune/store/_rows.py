"""Find, lock and count a study's trials, and note events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState
from sqlalchemy.engine import Dialect

from ecd_tune.errors import StudyNotFoundError
from ecd_tune.records import Direction, Stage, StudyKey
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._clock import now
from ecd_tune.store._statement import Call, Statement, run_together

__all__ = ["StudyRef", "Tally", "add_event", "lock_studies", "lock_text", "take_tally"]


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


def lock_text(study_id: int, dialect: Dialect) -> str:
    """Return the statement that locks a study, its id written out.

    Args:
        study_id: Optuna's study id.
        dialect: Of the database.

    Returns:
        The text.
    """
    return _lock_template(dialect.name).format(study=int(study_id))


@lru_cache
def _lock_template(dialect: str) -> str:
    study = sa.literal_column("{study}", sa.Integer)
    return str(_build_lock(study).compile(dialect=sa.dialects.registry.load(dialect)()))


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


def _locks(connection: sa.Connection, study_ids: Iterable[int]) -> list[Call]:
    if connection.dialect.name == "sqlite":
        return []
    return [(_LOCK, {"study": study_id}) for study_id in sorted(set(study_ids))]


def _count(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).where(*conditions).scalar_subquery()


def _build_lock(study: sa.ColumnElement[int]) -> sa.Select[Any]:
    table = optuna_schema.studies
    # Not against key shares: a row that merely refers to the study is no decision about it.
    return (
        sa.select(table.c.study_id).where(table.c.study_id == study).with_for_update(key_share=True)
    )


def _build_tally(study: sa.ColumnElement[int]) -> sa.Select[Any]:
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


_STUDY: sa.BindParameter[int] = sa.bindparam("study", type_=sa.Integer)
_LOCK = Statement(_build_lock(_STUDY))
_TALLY = Statement(_build_tally(_STUDY))


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
