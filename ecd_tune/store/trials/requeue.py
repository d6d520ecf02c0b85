"""Re-queue the trials of dead or stopped workers.

A trial is leased once in its life: when its run is lost or released, the trial itself becomes a
FAIL that does not count, and a copy of it waits, with the same hyperparameters and seed. Both
changes are one transaction, so that no crash in between can lose or double the work. After as
many attempts as the study allows there is no further copy, and the last attempt counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Cause
from ecd_tune.spec import Retries
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.cells import load, utc_now
from ecd_tune.store.db.sql import Change, write_rows
from ecd_tune.store.db.stored import StoredTrial, TrialPart, parse_params, read_trials
from ecd_tune.store.events import event_row, new_events
from ecd_tune.store.sampling.constraints import PREFIX
from ecd_tune.store.sampling.points import StoredPoint
from ecd_tune.store.studies import lock_studies
from ecd_tune.store.trials.counts import count_trials
from ecd_tune.store.trials.insert import Draft, insert_trials
from ecd_tune.store.trials.lease import REQUEST_COLUMNS
from ecd_tune.store.trials.retries import add_cause, allows, load_counts

__all__ = ["RUNG_PREFIX", "Ending", "copy_trials", "find_repeatable", "requeue"]

RUNG_PREFIX = "rung:"
"""Begins the system attributes that say at which rungs of successive halving a trial stands."""


class Ending(NamedTuple):
    """How an attempt ended without a value.

    Attributes:
        cause: For the program.
        reason: For people, in words.
    """

    cause: Cause
    reason: str


def find_repeatable(connection: sa.Connection, causes: Mapping[int, Cause]) -> set[int]:
    """Find the failed trials that the study allows another attempt.

    Args:
        connection: A write transaction with the study's lock.
        causes: Token to why the trial has no value.

    Returns:
        The tokens of those that may be tried again.
    """
    return {
        row.token
        for row in connection.execute(_lost_rows(causes))
        if row.state is OptunaState.RUNNING
        and allows(_retries(row), load_counts(row.history), causes[row.token])
    }


def requeue(connection: sa.Connection, endings: Mapping[int, Ending], kind: str) -> int:
    """Turn leased trials into FAIL, and queue a copy of each that may be tried again.

    A trial without remaining retries stays FAIL with its reason and counts against the budget.

    Args:
        connection: A write transaction.
        endings: Token to how the attempt ended; invalid leases are ignored.
        kind: Kind of the event: ``lost``, ``released`` or ``retried``.

    Returns:
        How many trials were queued again.
    """
    table = tables.leases
    standing = sa.select(table.c.study_id).where(table.c.token.in_(endings))
    study_ids = sorted(set(connection.execute(standing).scalars()))
    lock_studies(connection, study_ids)
    # Looked up again under the lock: another reaper may have been faster.
    rows = connection.execute(_lost_rows(endings)).all()
    connection.execute(sa.delete(table).where(table.c.token.in_(endings)))
    queued = 0
    for study_id in study_ids:
        own = [r for r in rows if r.study_id == study_id and r.state is OptunaState.RUNNING]
        again = [
            row
            for row in own
            if allows(_retries(row), load_counts(row.history), endings[row.token].cause)
        ]
        _fail(connection, {row.trial_id: endings[row.token] for row in again}, lost=True)
        given_up = {r.trial_id: _last_word(r, endings[r.token]) for r in own if r not in again}
        _fail(connection, given_up, lost=False)
        counts = count_trials(connection, study_id, new=len(again))
        drafts = copy_trials(connection, again, [endings[row.token] for row in again])
        insert_trials(connection, study_id, drafts, counts)
        copies = {row.token: number for number, row in enumerate(again, counts.next_number)}
        rows_of_events = [
            event_row(
                study_id=study_id,
                trial_id=row.trial_id,
                kind=kind if row.token in copies else "given_up",
                worker=row.worker,
                number=row.number,
                queued_as=copies.get(row.token),
                attempt=row.attempt,
                reason=endings[row.token].reason,
            )
            for row in own
        ]
        write_rows(connection, new_events(rows_of_events))
        queued += len(again)
    return queued


def _retries(row: Any) -> dict[str, int]:
    # A study from an earlier version has no limits: use the defaults of a study file.
    return load_counts(row.retries) or Retries().counts()


def _last_word(row: Any, ending: Ending) -> Ending:
    return ending._replace(reason=f"{ending.reason}; given up after attempt {row.attempt}")


def _lost_rows(tokens: Iterable[int]) -> sa.Select[Any]:
    leases, runs, trials = tables.leases, tables.runs, optuna_tables.trials
    return (
        sa.select(
            leases.c.token,
            leases.c.study_id,
            trials.c.trial_id,
            trials.c.number,
            trials.c.state,
            runs.c.worker,
            tables.studies.c.retries,
            *REQUEST_COLUMNS,
        )
        .join(trials, trials.c.trial_id == leases.c.trial_id)
        .join(runs, runs.c.trial_id == leases.c.trial_id)
        .join(tables.studies, tables.studies.c.study_id == leases.c.study_id)
        .where(leases.c.token.in_(list(tokens)))
        .order_by(leases.c.trial_id)
        .with_for_update(of=leases)
    )


def _fail(connection: sa.Connection, endings: Mapping[int, Ending], *, lost: bool) -> None:
    failed = {"state": OptunaState.FAIL, "datetime_complete": utc_now()}
    trials = [{"trial_id": trial_id, **failed} for trial_id in endings]
    runs = [
        {"trial_id": trial_id, "lost": lost, "cause": ending.cause.value, "reason": ending.reason}
        for trial_id, ending in endings.items()
    ]
    attributes = [
        {
            "trial_id": trial_id,
            "key": "reason",
            "value_json": optuna_tables.dump_attr(ending.reason),
        }
        for trial_id, ending in endings.items()
    ]
    write_rows(
        connection,
        Change(optuna_tables.trials, trials, key="trial_id"),
        Change(tables.runs, runs, key="trial_id"),
        Change(optuna_tables.trial_user_attributes, attributes),
    )


def copy_trials(
    connection: sa.Connection, rows: Sequence[Any], endings: Sequence[Ending]
) -> list[Draft]:
    """Return the next attempt of each trial.

    Args:
        connection: A transaction.
        rows: With ``trial_id``, ``number``, ``history`` and the columns of a request.
        endings: How each has ended.

    Returns:
        One draft per trial, in order.
    """
    chosen = optuna_tables.trials.c.trial_id.in_([row.trial_id for row in rows])
    parts = (TrialPart.PARAMS, TrialPart.SYSTEM_ATTRS)
    stored = {trial.id: trial for trial in read_trials(connection, chosen, parts)}
    pairs = zip(rows, endings, strict=True)
    return [_draft(row, stored[row.trial_id], ending.cause) for row, ending in pairs]


def _draft(row: Any, trial: StoredTrial, cause: Cause) -> Draft:
    attrs = {
        key: optuna_tables.load_attr(text)
        for key, text in trial.system_attrs
        # The next attempt may have memory and time, and comes to another rung.
        if not key.startswith((PREFIX, RUNG_PREFIX))
    }
    # Optuna's own names for a retried trial.
    attrs["retry_history"] = [*attrs.get("retry_history", []), row.number]
    attrs.setdefault("failed_trial", row.number)
    return Draft(
        StoredPoint(load(row.params), parse_params(trial)[1], attrs),
        source=row.source,
        seed=row.seed,
        attempt=row.attempt + 1,
        history=add_cause(load_counts(row.history), cause),
    )
