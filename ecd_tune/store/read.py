"""Read what is stored: records for analysis, counts for live displays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import (
    Curve,
    Direction,
    RunCost,
    Stage,
    StudyKey,
    TrialRecord,
)
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._rows import StudyRef, load

__all__ = [
    "Event",
    "Progress",
    "WorkerRecord",
    "read_events",
    "read_progress",
    "read_trials",
    "read_workers",
]


@dataclass(frozen=True)
class Progress:
    """How one Optuna study stands.

    Attributes:
        key: The study.
        direction: Whether ``best`` is the smallest or the largest value.
        waiting: Queued trials.
        running: Trials under a lease.
        complete: Trials with a value.
        pruned: Diverged or pruned trials.
        failed: Trials without a value, lost attempts left out.
        lost: Attempts that were interrupted and queued again.
        best: Best value of a complete trial, or None.
        target: Trials that the search is to have; None in the confirmation, where what is
            queued is what is to be done.
    """

    key: StudyKey
    direction: Direction
    waiting: int = 0
    running: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    lost: int = 0
    best: float | None = None
    target: int | None = None

    @property
    def finished(self) -> int:
        """Trials that count against the budget."""
        return self.complete + self.pruned + self.failed

    @property
    def remaining(self) -> int:
        """Trials that are not finished yet, running ones included."""
        if self.target is None:
            return self.waiting + self.running
        return max(0, self.target - self.finished)


@dataclass(frozen=True)
class WorkerRecord:
    """One worker process that ever asked.

    Attributes:
        name: ``host:pid``.
        versions: Package to version.
        started: When it first asked; UTC, aware.
        seen: When it last asked or renewed; UTC, aware.
        running: Trials that it holds now.
    """

    name: str
    versions: Mapping[str, str]
    started: datetime
    seen: datetime
    running: int = 0


@dataclass(frozen=True)
class Event:
    """Something that happened to a study.

    Attributes:
        time: When; UTC, aware.
        key: The study.
        kind: ``lost``, ``released`` or ``fenced``.
        worker: ``host:pid``, where known.
        detail: More, by kind.
    """

    time: datetime
    key: StudyKey
    kind: str
    worker: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def read_trials(connection: sa.Connection, ref: StudyRef, *, curves: bool) -> list[TrialRecord]:
    """Read all trials of one study.

    Args:
        connection: A transaction.
        ref: The study.
        curves: Read the curves too; they are most of the data.

    Returns:
        Records by number.
    """
    trials, runs, values = optuna_schema.trials, schema.runs, optuna_schema.trial_values
    columns = [column for column in runs.c if curves or column.name != "curve"]
    statement = (
        sa.select(
            trials.c.trial_id.label("id"),
            trials.c.number,
            trials.c.state,
            trials.c.datetime_start,
            trials.c.datetime_complete,
            values.c.value,
            *columns,
        )
        .outerjoin(runs, runs.c.trial_id == trials.c.trial_id)
        .outerjoin(values, (values.c.trial_id == trials.c.trial_id) & (values.c.objective == 0))
        .where(trials.c.study_id == ref.id)
        .order_by(trials.c.number)
    )
    rows = connection.execute(statement).all()
    foreign = _read_params(connection, [row.id for row in rows if row.params is None])
    return [_to_record(ref.key, row, foreign.get(row.id, {}), curves) for row in rows]


def read_progress(connection: sa.Connection, study: str) -> list[Progress]:
    """Count the trials of every Optuna study of one study.

    Args:
        connection: A transaction.
        study: Name of the study.

    Returns:
        In the order in which they were created.
    """
    rows = connection.execute(
        sa.select(schema.studies)
        .where(schema.studies.c.study == study)
        .order_by(schema.studies.c.study_id)
    ).all()
    ids = [row.study_id for row in rows]
    states = _count_states(connection, ids)
    runs, leases = schema.runs, schema.leases
    lost = _count(connection, runs, ids, runs.c.lost.is_(True))
    leased = _count(connection, leases, ids)
    return [_to_progress(row, states.get(row.study_id, {}), lost, leased) for row in rows]


def read_workers(connection: sa.Connection) -> list[WorkerRecord]:
    """Read all workers, the one seen last first.

    Args:
        connection: A transaction.

    Returns:
        One record a process.
    """
    workers, leases = schema.workers, schema.leases
    held = sa.select(leases.c.worker_id, sa.func.count().label("held")).group_by(leases.c.worker_id)
    counts = held.subquery()
    rows = connection.execute(
        sa.select(workers, counts.c.held)
        .outerjoin(counts, counts.c.worker_id == workers.c.id)
        .order_by(workers.c.seen_at.desc(), workers.c.id)
    )
    return [
        WorkerRecord(
            name=f"{row.host}:{row.pid}",
            versions=load(row.versions),
            started=datetime.fromtimestamp(row.started_at, UTC),
            seen=datetime.fromtimestamp(row.seen_at, UTC),
            running=row.held or 0,
        )
        for row in rows
    ]


def read_events(connection: sa.Connection, study: str) -> list[Event]:
    """Read what happened to one study.

    Args:
        connection: A transaction.
        study: Name of the study.

    Returns:
        Events, oldest first.
    """
    events, studies = schema.events, schema.studies
    rows = connection.execute(
        sa.select(events, studies.c.optimizer, studies.c.stage)
        .join(studies, studies.c.study_id == events.c.study_id)
        .where(studies.c.study == study)
        .order_by(events.c.id)
    )
    return [
        Event(
            time=datetime.fromtimestamp(row.time, UTC),
            key=StudyKey(study, row.optimizer, Stage(row.stage)),
            kind=row.kind,
            worker=row.worker,
            detail=load(row.detail),
        )
        for row in rows
    ]


def _read_params(connection: sa.Connection, ids: list[int]) -> dict[int, dict[str, Any]]:
    """Read the parameters of trials that plain Optuna made."""
    table = optuna_schema.trial_params
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(ids), 1000):
        chosen = table.c.trial_id.in_(ids[start : start + 1000])
        for row in connection.execute(sa.select(table).where(chosen).order_by(table.c.param_id)):
            distribution = optuna_schema.parse_distribution(row.distribution_json)
            value = distribution.to_external_repr(row.param_value)
            found.setdefault(row.trial_id, {})[row.param_name] = value
    return found


def _to_record(key: StudyKey, row: Any, foreign: Mapping[str, Any], curves: bool) -> TrialRecord:
    state = optuna_schema.to_state(row.state)
    own: dict[str, Any] = {}
    if row.params is not None:
        own = {
            "seed": row.seed,
            "source": row.source,
            "attempt": row.attempt,
            "lost": row.lost,
            "metrics": {name: float(value) for name, value in load(row.metrics).items()},
            "curve": _to_curve(row.curve) if curves else Curve(),
            "reason": row.reason,
            "cost": RunCost(row.seconds, row.device),
            "worker": row.worker,
        }
    return TrialRecord(
        key=key,
        number=row.number,
        state=state,
        value=row.value,
        params=foreign if row.params is None else load(row.params),
        started=_aware(row.datetime_start),
        completed=_aware(row.datetime_complete),
        **own,
    )


def _to_curve(text: str | None) -> Curve:
    if text is None:
        return Curve()
    steps, values = load(text)
    return Curve(tuple(steps), tuple(float(value) for value in values))


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _count_states(
    connection: sa.Connection, ids: list[int]
) -> dict[int, dict[OptunaState, tuple[int, float | None, float | None]]]:
    trials, values = optuna_schema.trials, optuna_schema.trial_values
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
        lost=lost.get(row.study_id, 0),
        best=low if direction is Direction.MINIMIZE else high,
        target=row.target,
    )
