"""Count a study's trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.errors import StudyNotFoundError
from ecd_tune.records import Stage, StudyKey
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.sql import new_trial_ids

__all__ = ["TrialCounts", "count_trials"]


@dataclass(frozen=True)
class TrialCounts:
    """Counts of a study's trials.

    Attributes:
        key: Names of the study.
        fingerprint: Fingerprint of its study file.
        finished: COMPLETE, PRUNED or FAIL, lost attempts left out.
        leased: Running under a lease; trials that plain Optuna runs are not included.
        waiting: Queued.
        next_number: The number that the next new trial gets.
        ids: Ids for new trials, as many as were asked for.
    """

    key: StudyKey
    fingerprint: str
    finished: int
    leased: int
    waiting: int
    next_number: int
    ids: Sequence[int] = ()

    def remaining(self, target: int) -> int:
        """Return how many new trials may be made when ``target`` are wanted."""
        return max(0, target - self.finished - self.leased - self.waiting)

    def claimable(self, target: int) -> int:
        """Return how many waiting trials may be started when ``target`` are wanted."""
        return max(0, min(self.waiting, target - self.finished - self.leased))


def count_trials(connection: sa.Connection, study_id: int, *, new: int = 0) -> TrialCounts:
    """Count one study's trials, in one statement: all counts are of the same moment.

    Trial numbers have no gaps, so that only those trials are counted one by one that are not
    finished: the time does not grow with the study.

    Args:
        connection: A transaction. On PostgreSQL the lock must be taken by an earlier statement: a
            statement that waits for a lock counts in its earlier snapshot.
        study_id: Optuna's study id.
        new: How many ids of new trials to return; needs a write transaction with the study's lock.

    Returns:
        The counts at this moment.

    Raises:
        StudyNotFoundError: The study was deleted.
    """
    statement, values = (_COUNTS_AND_IDS, {"new": new}) if new else (_COUNTS, {})
    row = connection.execute(statement, {"study": study_id, **values}).first()
    if row is None:
        raise StudyNotFoundError(f"study {study_id} is no longer in this storage")
    study, optimizer, stage, fingerprint, number, waiting, running, lost, leased, *given = row
    ids = (range(first, first + new) if isinstance(first, int) else first for first in given)
    return TrialCounts(
        key=StudyKey(study, optimizer, Stage(stage)),
        fingerprint=fingerprint,
        finished=number - waiting - running - lost,
        leased=leased,
        waiting=waiting,
        next_number=number,
        ids=next(ids, ()),
    )


_STUDY: sa.BindParameter[int] = sa.bindparam("study", type_=sa.Integer)


def _count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    mine = table.c.study_id == _STUDY
    return sa.select(sa.func.count()).where(mine, *conditions).scalar_subquery()


def _build_counts() -> sa.Select[Any]:
    studies, trials = tables.studies, optuna_tables.trials
    runs, leases = tables.runs, tables.leases
    last = sa.select(sa.func.max(trials.c.number)).where(trials.c.study_id == _STUDY)
    return sa.select(
        *(studies.c.study, studies.c.optimizer, studies.c.stage, studies.c.fingerprint),
        sa.func.coalesce(last.scalar_subquery() + 1, 0).label("next_number"),
        _count(trials, trials.c.state == OptunaState.WAITING).label("waiting"),
        _count(trials, trials.c.state == OptunaState.RUNNING).label("running"),
        _count(runs, runs.c.lost.is_(True)).label("lost"),
        _count(leases).label("leased"),
    ).where(studies.c.study_id == _STUDY)


_COUNTS = _build_counts()
_COUNTS_AND_IDS = _COUNTS.add_columns(new_trial_ids(sa.bindparam("new", type_=sa.Integer)))
