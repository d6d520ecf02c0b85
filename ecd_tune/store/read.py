"""Read what is stored: the records of trials, workers and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ecd_tune.records import Curve, RunCost, Stage, StudyKey, TrialRecord
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._cells import load
from ecd_tune.store._rows import StudyRef
from ecd_tune.store._sql import now

__all__ = [
    "Event",
    "HeldTrial",
    "WorkerRecord",
    "read_events",
    "read_trials",
    "read_workers",
]


@dataclass(frozen=True)
class HeldTrial:
    """A trial under a lease.

    Attributes:
        key: Its study.
        number: Its number there.
    """

    key: StudyKey
    number: int


@dataclass(frozen=True)
class WorkerRecord:
    """One worker process that ever asked.

    Attributes:
        name: ``host:pid``.
        versions: Package to version.
        started: When it first asked; UTC, aware.
        seen: When it last asked or renewed; UTC, aware.
        age: Seconds since then, by the database's clock.
        device: What it computes on; empty where not known.
        trials: What it holds now, in the order in which it was given.
    """

    name: str
    versions: Mapping[str, str]
    started: datetime
    seen: datetime
    age: float
    device: str = ""
    trials: tuple[HeldTrial, ...] = ()

    @property
    def running(self) -> int:
        """How many trials it holds now."""
        return len(self.trials)


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
    columns = [column for column in runs.c if curves or column.name != "curves"]
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


def read_workers(connection: sa.Connection) -> list[WorkerRecord]:
    """Read all workers, the one seen last first.

    Args:
        connection: A transaction.

    Returns:
        One record a process.
    """
    workers, held = schema.workers, _read_held(connection)
    rows = connection.execute(
        sa.select(workers, now().label("now")).order_by(workers.c.seen_at.desc(), workers.c.id)
    )
    return [
        WorkerRecord(
            name=f"{row.host}:{row.pid}",
            versions=load(row.versions),
            started=datetime.fromtimestamp(row.started_at, UTC),
            seen=datetime.fromtimestamp(row.seen_at, UTC),
            age=max(0.0, row.now - row.seen_at),
            device=row.device or "",
            trials=tuple(held.get(row.id, ())),
        )
        for row in rows
    ]


def _read_held(connection: sa.Connection) -> dict[str, list[HeldTrial]]:
    leases, studies, trials = schema.leases, schema.studies, optuna_schema.trials
    rows = connection.execute(
        sa.select(
            leases.c.worker_id,
            studies.c.study,
            studies.c.optimizer,
            studies.c.stage,
            trials.c.number,
        )
        .join(studies, studies.c.study_id == leases.c.study_id)
        .join(trials, trials.c.trial_id == leases.c.trial_id)
        .order_by(leases.c.token)
    )
    held: dict[str, list[HeldTrial]] = {}
    for worker_id, study, optimizer, stage, number in rows:
        trial = HeldTrial(StudyKey(study, optimizer, Stage(stage)), number)
        held.setdefault(worker_id, []).append(trial)
    return held


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
            "curves": _to_curves(row.curves) if curves else {},
            "reason": row.reason,
            "cost": RunCost(
                row.seconds,
                row.device,
                row.energy_kwh,
                row.energy_source or "",
                row.carbon_kg,
            ),
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


def _to_curves(text: str | None) -> dict[str, Curve]:
    return {
        name: Curve(tuple(steps), tuple(float(value) for value in values))
        for name, (steps, values) in load(text).items()
    }


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
