"""Re-queue failed trials and invalidate wrong results at a user's request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.errors import StoreError
from ecd_tune.records import Cause, Stage
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.sql import Change, write_rows
from ecd_tune.store.events import event_row, new_events
from ecd_tune.store.sampling.constraints import PREFIX
from ecd_tune.store.studies import StudyRef, lock_studies
from ecd_tune.store.trials.counts import count_trials
from ecd_tune.store.trials.insert import insert_trials
from ecd_tune.store.trials.lease import REQUEST_COLUMNS
from ecd_tune.store.trials.requeue import Ending, copy_trials

__all__ = ["invalidate_trial", "retry_failed"]

_ENDED = (OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.FAIL)


def retry_failed(connection: sa.Connection, ref: StudyRef) -> int:
    """Queue every trial again that ended without a value.

    The failed attempts are kept as history and no longer count against the budget.

    Args:
        connection: A write transaction.
        ref: The study.

    Returns:
        How many were queued.
    """
    lock_studies(connection, [ref.id])
    rows = connection.execute(
        _rows(ref.id).where(optuna_tables.trials.c.state == OptunaState.FAIL)
    ).all()
    _queue_copies(connection, ref, rows, "retried")
    return len(rows)


def invalidate_trial(connection: sa.Connection, ref: StudyRef, number: int, reason: str) -> None:
    """Take the result of a trial out; its value stays in an event.

    The search makes another trial in its place; another stage's run is queued again.

    Args:
        connection: A write transaction.
        ref: The study.
        number: Number of the trial.
        reason: Why, in words for people.

    Raises:
        StoreError: There is no such trial, or it has not ended.
    """
    lock_studies(connection, [ref.id])
    trials, runs = optuna_tables.trials, tables.runs
    row = connection.execute(_rows(ref.id).where(trials.c.number == number)).first()
    if row is None or row.state not in _ENDED:
        raise StoreError(
            f"study {ref.key.name}: trial {number} does not exist, has not ended, or no longer "
            f"counts; the dashboard and the report's trials.csv list the trials"
        )
    values = optuna_tables.trial_values
    mine = values.c.trial_id == row.trial_id
    value = connection.execute(sa.select(values.c.value).where(mine)).scalar()
    connection.execute(sa.delete(values).where(mine))
    connection.execute(
        sa.update(trials).where(trials.c.trial_id == row.trial_id).values(state=OptunaState.FAIL)
    )
    text = f"invalid: {reason}"
    connection.execute(
        sa.update(runs)
        .where(runs.c.trial_id == row.trial_id)
        .values(lost=True, cause=Cause.INVALID.value, reason=text)
    )
    attribute = {
        "trial_id": row.trial_id,
        "key": "reason",
        "value_json": optuna_tables.dump_attr(text),
    }
    event = event_row(
        study_id=ref.id,
        trial_id=row.trial_id,
        kind="invalidated",
        worker=None,
        number=number,
        reason=reason,
        value=value,
    )
    attributes = optuna_tables.trial_user_attributes
    changed = Change(attributes, [attribute], ("trial_id", "key"))
    write_rows(connection, changed, new_events([event]))
    if ref.key.stage is not Stage.SEARCH:
        _queue_copies(connection, ref, [row], "retried")


def _queue_copies(connection: sa.Connection, ref: StudyRef, rows: Sequence[Any], kind: str) -> None:
    if not rows:
        return
    runs, ids = tables.runs, [row.trial_id for row in rows]
    connection.execute(sa.update(runs).where(runs.c.trial_id.in_(ids)).values(lost=True))
    # A retry means that it was no property of the hyperparameters.
    attributes = optuna_tables.trial_system_attributes
    violated = attributes.c.trial_id.in_(ids) & attributes.c.key.startswith(PREFIX)
    connection.execute(sa.delete(attributes).where(violated))
    counts = count_trials(connection, ref.id, new=len(rows))
    endings = [Ending(Cause(row.cause or Cause.EXCEPTION), row.reason or "failed") for row in rows]
    insert_trials(connection, ref.id, copy_trials(connection, rows, endings), counts)
    events = [
        event_row(
            study_id=ref.id,
            trial_id=row.trial_id,
            kind=kind,
            worker=None,
            number=row.number,
            queued_as=queued_as,
            attempt=row.attempt,
            reason="requested by a user",
        )
        for queued_as, row in enumerate(rows, counts.next_number)
    ]
    write_rows(connection, new_events(events))


def _rows(study_id: int) -> sa.Select[Any]:
    trials, runs = optuna_tables.trials, tables.runs
    return (
        sa.select(
            trials.c.trial_id,
            trials.c.number,
            trials.c.state,
            runs.c.cause,
            runs.c.reason,
            *REQUEST_COLUMNS,
        )
        .join(runs, runs.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == study_id, runs.c.lost.is_(False))
        .order_by(trials.c.number)
    )
