"""Find, lock and count a study's trials, and note events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Direction, StudyKey
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._clock import now
from ecd_tune.store._statement import Call, Statement, run_together

__all__ = ["StudyRef", "Tally", "add_event", "lock_and_tally", "lock_studies", "take_tally"]


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
        finished: COMPLETE, PRUNED or FAIL, lost attempts left out.
        leased: Running under a lease; a trial that plain Optuna runs is not ours to wait for.
        waiting: Queued.
        next_number: The number that the next new trial gets.
    """

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


def lock_and_tally(connection: sa.Connection, study_id: int) -> Tally:
    """Lock one study until the transaction ends, and count its trials.

    Args:
        connection: A write transaction.
        study_id: Optuna's study id.

    Returns:
        The counts once the lock was held.
    """
    # Two statements: on PostgreSQL one that waits for a lock still counts as of before.
    calls = [*_locks(connection, [study_id]), (_TALLY, {"study": study_id})]
    return _to_tally(run_together(connection, calls)[-1])


def take_tally(connection: sa.Connection, study_id: int) -> Tally:
    """Count one study's trials, in one statement: all counts are of the same moment.

    Trial numbers have no gaps, so that only those trials are counted one by one that are not
    finished: the time does not grow with the study.

    Args:
        connection: A transaction.
        study_id: Optuna's study id.

    Returns:
        The counts at this moment.
    """
    return _to_tally(_TALLY.run(connection, study=study_id))


def _locks(connection: sa.Connection, study_ids: Iterable[int]) -> list[Call]:
    if connection.dialect.name == "sqlite":
        return []
    return [(_LOCK, {"study": study_id}) for study_id in sorted(set(study_ids))]


def _to_tally(rows: Sequence[tuple[Any, ...]]) -> Tally:
    ((last_number, waiting, running, lost, leased),) = rows
    next_number = 0 if last_number is None else last_number + 1
    return Tally(
        finished=next_number - waiting - running - lost,
        leased=leased,
        waiting=waiting,
        next_number=next_number,
    )


def _count(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).where(*conditions).scalar_subquery()


def _build_lock() -> sa.Select[Any]:
    table, study = optuna_schema.studies, sa.bindparam("study", type_=sa.Integer)
    # Not against key shares: a row that merely refers to the study is no decision about it.
    return (
        sa.select(table.c.study_id).where(table.c.study_id == study).with_for_update(key_share=True)
    )


def _build_tally() -> sa.Select[Any]:
    trials, runs, leases = optuna_schema.trials, schema.runs, schema.leases
    study = sa.bindparam("study", type_=sa.Integer)
    last = sa.select(sa.func.max(trials.c.number)).where(trials.c.study_id == study)
    return sa.select(
        last.scalar_subquery().label("last"),
        _count(trials.c.study_id == study, trials.c.state == OptunaState.WAITING),
        _count(trials.c.study_id == study, trials.c.state == OptunaState.RUNNING),
        _count(runs.c.study_id == study, runs.c.lost.is_(True)),
        _count(leases.c.study_id == study),
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
