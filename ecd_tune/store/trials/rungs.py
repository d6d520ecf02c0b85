"""Promote paused trials: asynchronous successive halving, decided where a result is stored.

A trial that is paused at a rung is stored as pruned, with its value, and counts against the
budget. A trial that is never promoted therefore needs no further handling. A promotion is an
automatic retry: the paused attempt becomes a FAIL that does not count, and a copy of it is
queued, which a worker continues from the checkpoint. Both are written in the transaction that
stores another trial's result at the same rung, under the study's lock. Only such a result can
move a trial into the best of the rung, and it moves at most one. The next ask receives the copy
before any new trial.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Cause, Lease, Outcome, Rung, Status
from ecd_tune.spec import choose_promoted
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.sql import Change, write_rows
from ecd_tune.store.events import event_row, new_events
from ecd_tune.store.studies import StudyRef, find_study, lock_studies, to_ref
from ecd_tune.store.trials.counts import count_trials
from ecd_tune.store.trials.insert import insert_trials
from ecd_tune.store.trials.lease import REQUEST_COLUMNS
from ecd_tune.store.trials.requeue import RUNG_PREFIX, Ending, copy_trials

__all__ = ["lock_rungs", "promote"]

Result = tuple[Lease, Outcome]

_COMPARED = (Status.PRUNED, Status.COMPLETE)


def lock_rungs(connection: sa.Connection, results: Sequence[Result]) -> None:
    """Lock the studies of results at a rung. These locks are taken before those of leases.

    Args:
        connection: A write transaction.
        results: The results to be stored.
    """
    tokens = [lease.token for lease, outcome in results if outcome.rung is not None]
    if tokens:
        leases = tables.leases
        own = sa.select(leases.c.study_id).where(leases.c.token.in_(tokens))
        lock_studies(connection, set(connection.execute(own).scalars()))


def promote(connection: sa.Connection, results: Sequence[Result]) -> None:
    """Record the rungs that trials have reached, and promote the best trials of each.

    Args:
        connection: A write transaction that holds the studies' locks.
        results: The results stored in it.
    """
    reached = [(lease, outcome) for lease, outcome in results if outcome.rung is not None]
    rows = [
        {
            "trial_id": lease.trial_id,
            "key": _key(outcome.rung),
            # A trial that diverged or failed before the rung counts there as the worst.
            "value_json": json.dumps(outcome.value if outcome.status in _COMPARED else None),
        }
        for lease, outcome in reached
        if outcome.rung is not None
    ]
    table = optuna_tables.trial_system_attributes
    write_rows(connection, Change(table, rows, ("trial_id", "key")))
    met = dict.fromkeys((lease.key, outcome.rung) for lease, outcome in reached)
    for key, rung in met:
        if rung is not None:
            _promote_at(connection, to_ref(find_study(connection, key)), rung)


def _promote_at(connection: sa.Connection, ref: StudyRef, rung: Rung) -> None:
    members = _read_members(connection, ref, rung)
    losses = {row.number: _loss(json.loads(row.value_json), ref) for row in members}
    # A trial that is complete, because its own loop ended before the rung, has its place too.
    promoted = {row.number for row in members if row.lost or row.state is OptunaState.COMPLETE}
    chosen = {*choose_promoted(losses, promoted, rung.reduction)}
    if chosen:
        _continue(connection, ref, [r.trial_id for r in members if r.number in chosen], rung)


def _loss(value: float | None, ref: StudyRef) -> float:
    return math.inf if value is None else ref.direction.sign * value


def _read_members(connection: sa.Connection, ref: StudyRef, rung: Rung) -> Sequence[Any]:
    """Read the trials at a rung, including those promoted from it."""
    trials, runs = optuna_tables.trials, tables.runs
    attributes = optuna_tables.trial_system_attributes
    promoted = runs.c.cause == Cause.PROMOTED.value
    return connection.execute(
        sa.select(
            trials.c.trial_id,
            trials.c.number,
            trials.c.state,
            attributes.c.value_json,
            runs.c.lost,
        )
        .join(attributes, attributes.c.trial_id == trials.c.trial_id)
        .join(runs, runs.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == ref.id, attributes.c.key == _key(rung))
        # Trials that a user has retried or invalidated are excluded.
        .where(runs.c.lost.is_(False) | promoted)
    ).all()


def _continue(
    connection: sa.Connection, ref: StudyRef, trial_ids: Sequence[int], rung: Rung
) -> None:
    """Close paused attempts, and queue copies that continue them."""
    trials, runs = optuna_tables.trials, tables.runs
    rows = connection.execute(
        sa.select(trials.c.trial_id, trials.c.number, *REQUEST_COLUMNS)
        .join(runs, runs.c.trial_id == trials.c.trial_id)
        .where(trials.c.trial_id.in_(trial_ids))
        .order_by(trials.c.number)
    ).all()
    counts = count_trials(connection, ref.id, new=len(rows))
    first = counts.next_number
    endings = [Ending(Cause.PROMOTED, _reason(rung, first + n)) for n in range(len(rows))]
    for row, ending in zip(rows, endings, strict=True):
        _close(connection, row.trial_id, ending)
    insert_trials(connection, ref.id, copy_trials(connection, rows, endings), counts)
    events = [
        event_row(
            study_id=ref.id,
            trial_id=row.trial_id,
            kind="promoted",
            worker=None,
            number=row.number,
            queued_as=first + offset,
            attempt=row.attempt,
            reason=endings[offset].reason,
        )
        for offset, row in enumerate(rows)
    ]
    write_rows(connection, new_events(events))


def _reason(rung: Rung, number: int) -> str:
    return f"promoted at rung {rung.number} of bracket {rung.bracket}; continued as trial {number}"


def _close(connection: sa.Connection, trial_id: int, ending: Ending) -> None:
    trials, runs, values = optuna_tables.trials, tables.runs, optuna_tables.trial_values
    connection.execute(sa.delete(values).where(values.c.trial_id == trial_id))
    connection.execute(
        sa.update(trials).where(trials.c.trial_id == trial_id).values(state=OptunaState.FAIL)
    )
    changes: dict[str, Any] = {
        "lost": True,
        "cause": ending.cause.value,
        "reason": ending.reason,
        # The attempt that continues it counts them too.
        "seconds": 0.0,
        "energy_kwh": None,
        "carbon_kg": None,
    }
    connection.execute(sa.update(runs).where(runs.c.trial_id == trial_id).values(changes))
    attribute = {
        "trial_id": trial_id,
        "key": "reason",
        "value_json": optuna_tables.dump_attr(ending.reason),
    }
    table = optuna_tables.trial_user_attributes
    write_rows(connection, Change(table, [attribute], ("trial_id", "key")))


def _key(rung: Rung | None) -> str:
    assert rung is not None  # checked by the caller
    return f"{RUNG_PREFIX}{rung.bracket}:{rung.number}"
