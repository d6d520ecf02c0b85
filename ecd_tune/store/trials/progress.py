"""Count a study's trials; quick enough for a live display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Cause, Direction, Stage, StudyKey
from ecd_tune.store.db import optuna_tables, tables

__all__ = ["Progress", "read_progress", "read_reasons"]


@dataclass(frozen=True)
class Progress:
    """Progress of one Optuna study.

    Attributes:
        key: The study.
        direction: Whether ``best`` is the smallest or the largest value.
        waiting: Queued trials.
        running: Trials under a lease.
        complete: Trials with a value.
        pruned: Diverged or pruned trials.
        failed: Trials without a value, lost attempts left out.
        lost: Attempts that were interrupted and queued again.
        promoted: Attempts that were paused at a rung and promoted; another one continues each.
        best: Best value of a complete trial, or None.
        target: Trials that the stage is to have; None for a selection or confirmation that an
            earlier version stored.
    """

    key: StudyKey
    direction: Direction
    waiting: int = 0
    running: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    lost: int = 0
    promoted: int = 0
    best: float | None = None
    target: int | None = None

    @property
    def finished(self) -> int:
        """Trials that count against the budget."""
        return self.complete + self.pruned + self.failed

    @property
    def remaining(self) -> int:
        """Trials that are not finished yet, running ones included; of later stages those queued."""
        if self.key.stage is Stage.SEARCH and self.target is not None:
            return max(0, self.target - self.finished)
        return self.waiting + self.running


def read_progress(connection: sa.Connection, study: str) -> list[Progress]:
    """Count the trials of every Optuna study of one study.

    Args:
        connection: A transaction.
        study: Name of the study.

    Returns:
        In the order in which they were created.
    """
    rows = connection.execute(
        sa.select(tables.studies)
        .where(tables.studies.c.study == study)
        .order_by(tables.studies.c.study_id)
    ).all()
    ids = [row.study_id for row in rows]
    states = _count_states(connection, ids)
    runs, leases = tables.runs, tables.leases
    left_out = runs.c.lost.is_(True)
    lost = _count(connection, runs, ids, left_out)
    promoted = _count(connection, runs, ids, left_out, runs.c.cause == Cause.PROMOTED.value)
    leased = _count(connection, leases, ids)
    return [_to_progress(row, states.get(row.study_id, {}), lost, promoted, leased) for row in rows]


def _count_states(
    connection: sa.Connection, ids: list[int]
) -> dict[int, dict[OptunaState, tuple[int, float | None, float | None]]]:
    trials, values = optuna_tables.trials, optuna_tables.trial_values
    statement = (
        sa.select(
            trials.c.study_id,
            trials.c.state,
            sa.func.count().label("trials"),
            sa.func.min(values.c.value).label("low"),
            sa.func.max(values.c.value).label("high"),
        )
        .outerjoin(values, (values.c.trial_id == trials.c.trial_id) & (values.c.objective == 0))
        .where(trials.c.study_id.in_(ids))
        .group_by(trials.c.study_id, trials.c.state)
    )
    found: dict[int, dict[OptunaState, tuple[int, float | None, float | None]]] = {}
    for row in connection.execute(statement):
        found.setdefault(row.study_id, {})[row.state] = (row.trials, row.low, row.high)
    return found


def _count(
    connection: sa.Connection,
    table: sa.Table,
    ids: list[int],
    *conditions: sa.ColumnElement[bool],
) -> dict[int, int]:
    statement = sa.select(table.c.study_id, sa.func.count()).where(
        table.c.study_id.in_(ids), *conditions
    )
    rows = connection.execute(statement.group_by(table.c.study_id)).all()
    return {row[0]: row[1] for row in rows}


def _to_progress(
    row: Any,
    states: Mapping[OptunaState, tuple[int, float | None, float | None]],
    lost: Mapping[int, int],
    promoted: Mapping[int, int],
    leased: Mapping[int, int],
) -> Progress:
    direction = Direction(row.direction)
    counts = {state: states.get(state, (0, None, None))[0] for state in OptunaState}
    _, low, high = states.get(OptunaState.COMPLETE, (0, None, None))
    return Progress(
        key=StudyKey(row.study, row.optimizer, Stage(row.stage)),
        direction=direction,
        waiting=counts[OptunaState.WAITING],
        running=leased.get(row.study_id, 0),
        complete=counts[OptunaState.COMPLETE],
        pruned=counts[OptunaState.PRUNED],
        failed=counts[OptunaState.FAIL] - lost.get(row.study_id, 0),
        lost=lost.get(row.study_id, 0) - promoted.get(row.study_id, 0),
        promoted=promoted.get(row.study_id, 0),
        best=low if direction is Direction.MINIMIZE else high,
        target=row.target,
    )


def read_reasons(connection: sa.Connection, study: str) -> list[tuple[StudyKey, str, int]]:
    """Count the reasons for which trials of one study diverged, failed or were pruned.

    Args:
        connection: A transaction.
        study: Name of the study.

    Returns:
        Which Optuna study, the reason as stored, and its number of trials; interrupted attempts
        are left out.
    """
    runs, studies, trials = tables.runs, tables.studies, optuna_tables.trials
    own = (studies.c.optimizer, studies.c.stage, runs.c.reason)
    # Join from the small rows of trials to those of runs, which contain curves: few trials fail.
    rows = connection.execute(
        sa.select(*own, sa.func.count())
        .select_from(studies)
        .join(trials, trials.c.study_id == studies.c.study_id)
        .join(runs, runs.c.trial_id == trials.c.trial_id)
        .where(
            studies.c.study == study,
            trials.c.state.in_((OptunaState.PRUNED, OptunaState.FAIL)),
            runs.c.reason.is_not(None),
            runs.c.lost.is_(False),
        )
        .group_by(*own)
    )
    return [(StudyKey(study, row[0], Stage(row[1])), row[2], row[3]) for row in rows]
