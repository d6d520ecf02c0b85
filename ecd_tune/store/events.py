"""Events of a study, for later inspection by users."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ecd_tune.records import Stage, StudyKey
from ecd_tune.store.db import tables
from ecd_tune.store.db.cells import load
from ecd_tune.store.db.sql import Change

__all__ = ["Event", "event_row", "new_events", "read_events"]


@dataclass(frozen=True)
class Event:
    """An event of a study.

    Attributes:
        time: When; UTC, aware.
        key: The study.
        kind: ``lost``, ``released``, ``fenced``, or ``exception`` where a trial ended with one
            of a kind that its worker had not met.
        worker: ``host:pid``, where known.
        detail: More, by kind.
    """

    time: datetime
    key: StudyKey
    kind: str
    worker: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def event_row(
    *, study_id: int, trial_id: int | None, kind: str, worker: str | None, **detail: Any
) -> dict[str, Any]:
    """Return an event for :func:`new_events`.

    Args:
        study_id: Optuna's study id.
        trial_id: The trial, where there is one.
        kind: ``lost``, ``released``, ``fenced`` and so on.
        worker: ``host:pid``, where known.
        **detail: Further details; JSON-able.
    """
    own = {"study_id": study_id, "trial_id": trial_id, "kind": kind, "worker": worker}
    return {**own, "time": 0.0, "detail": json.dumps(detail)}


def new_events(rows: Sequence[Mapping[str, Any]]) -> Change:
    """Return the change that records events with the current time.

    Args:
        rows: Of :func:`event_row`, in order.
    """
    return Change(tables.events, rows, from_now=("time",))


def read_events(connection: sa.Connection, study: str) -> list[Event]:
    """Read what happened to one study.

    Args:
        connection: A transaction.
        study: Name of the study.

    Returns:
        Events, oldest first.
    """
    events, studies = tables.events, tables.studies
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
