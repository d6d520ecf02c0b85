"""Store results whose lease is still valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Lease, Outcome, Status
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.cells import dump, utc_now
from ecd_tune.store.db.sql import insert_rows, replace_rows, update_rows
from ecd_tune.store.events import add_events, event_row
from ecd_tune.store.sampling.constraints import VIOLATING, constraint_key
from ecd_tune.store.studies import known_ids, lock_studies
from ecd_tune.store.trials.curves import CurvePoint, insert_points
from ecd_tune.store.trials.requeue import Ending, find_repeatable, requeue
from ecd_tune.store.trials.rungs import lock_rungs, promote

__all__ = ["Result", "tell"]

_STATES: Mapping[Status, OptunaState] = {
    Status.COMPLETE: OptunaState.COMPLETE,
    Status.DIVERGED: OptunaState.PRUNED,
    Status.PRUNED: OptunaState.PRUNED,
    Status.FAILED: OptunaState.FAIL,
}

Result = tuple[Lease, Outcome]


def tell(
    connection: sa.Connection,
    results: Sequence[Result],
    points: Sequence[CurvePoint],
    *,
    again: bool,
) -> list[bool]:
    """Store results.

    Args:
        connection: A write transaction.
        results: Leases and outcomes.
        points: Of their curves, as far as they are not stored yet.
        again: This call may have been answered before, without the answer arriving.

    Returns:
        For each result whether it was accepted; False where the lease is outdated.
    """
    lock_rungs(connection, results)
    failed = [result for result in results if result[1].status is Status.FAILED]
    known = _try_again(connection, failed, points) if failed else set()
    known |= _end(connection, [r for r in results if r[0].token not in known], points)
    if again:
        known |= _find_told(connection, results)
    _refuse(connection, [result for result in results if result[0].token not in known])
    return [lease.token in known for lease, _ in results]


def _end(
    connection: sa.Connection, results: Sequence[Result], points: Sequence[CurvePoint]
) -> set[int]:
    """End the valid leases and their trials.

    Returns:
        The tokens of those leases.
    """
    tokens = [lease.token for lease, _ in results]
    ended = set(connection.execute(_END_LEASES, {"tokens": tokens}).scalars()) if tokens else set()
    if not ended:
        return ended
    own = [result for result in results if result[0].token in ended]
    _end_trials(connection, own)
    _store_outcomes(connection, own)
    _store_values(connection, own)
    _store_reasons(connection, own)
    _store_violations(connection, own)
    _note_traces(connection, own)
    last = _last_points(own)
    insert_points(connection, [*(p for p in points if p.token in ended), *last])
    promote(connection, own)
    return ended


def _end_trials(connection: sa.Connection, results: Sequence[Result]) -> None:
    by_state: dict[OptunaState, list[int]] = {}
    for lease, outcome in results:
        by_state.setdefault(_STATES[outcome.status], []).append(lease.trial_id)
    now = utc_now()
    for state, ids in by_state.items():
        connection.execute(_END_TRIALS, {"ids": ids, "new_state": state, "now": now})


def _store_outcomes(connection: sa.Connection, results: Sequence[Result]) -> None:
    rows = [
        {
            "trial_id": lease.trial_id,
            "reason": outcome.reason,
            "cause": outcome.cause.value,
            "metrics": dump(outcome.metrics),
            "curves": dump({name: [c.steps, c.values] for name, c in outcome.curves.items()}),
            "seconds": outcome.cost.seconds,
            "device": outcome.cost.device,
            "energy_kwh": outcome.cost.energy_kwh,
            "energy_source": outcome.cost.energy_source or None,
            "carbon_kg": outcome.cost.carbon_kg,
            "origin": outcome.origin and dump(asdict(outcome.origin)),
        }
        for lease, outcome in results
    ]
    update_rows(connection, tables.runs, "trial_id", rows)


def _store_values(connection: sa.Connection, results: Sequence[Result]) -> None:
    rows = [
        {"trial_id": lease.trial_id, "value": outcome.value}
        for lease, outcome in results
        if outcome.value is not None and _STATES[outcome.status] is not OptunaState.FAIL
    ]
    finite = {"objective": 0, "value_type": optuna_tables.FINITE}
    insert_rows(connection, optuna_tables.trial_values, rows, common=finite)


def _store_reasons(connection: sa.Connection, results: Sequence[Result]) -> None:
    rows = [
        {
            "trial_id": lease.trial_id,
            "key": "reason",
            "value_json": optuna_tables.dump_attr(outcome.reason),
        }
        for lease, outcome in results
        if outcome.reason is not None
    ]
    replace_rows(connection, optuna_tables.trial_user_attributes, ("trial_id", "key"), rows)


def _store_violations(connection: sa.Connection, results: Sequence[Result]) -> None:
    rows = [
        {
            "trial_id": lease.trial_id,
            "key": constraint_key(outcome.cause),
            "value_json": optuna_tables.dump_attr(1.0),
        }
        for lease, outcome in results
        if outcome.cause in VIOLATING
    ]
    replace_rows(connection, optuna_tables.trial_system_attributes, ("trial_id", "key"), rows)


def _note_traces(connection: sa.Connection, results: Sequence[Result]) -> None:
    shown = [result for result in results if result[1].trace]
    studies = {lease.key: known_ids(connection, [lease.key]) for lease, _ in shown}
    rows = [
        event_row(
            study_id=study_id,
            trial_id=lease.trial_id,
            kind="exception",
            worker=None,
            number=lease.number,
            reason=outcome.reason,
            trace=outcome.trace,
        )
        for lease, outcome in shown
        for study_id in studies[lease.key]
    ]
    if rows:
        add_events(connection, rows)


def _last_points(results: Sequence[Result]) -> list[CurvePoint]:
    # As in Optuna's tell: a pruned trial's value is also its last intermediate value, where
    # samplers expect it.
    return [
        CurvePoint(
            lease.trial_id,
            lease.token,
            outcome.curve.steps[-1] if outcome.curve.steps else 0,
            outcome.value,
        )
        for lease, outcome in results
        if outcome.value is not None and _STATES[outcome.status] is OptunaState.PRUNED
    ]


def _find_told(connection: sa.Connection, results: Sequence[Result]) -> set[int]:
    # A trial is leased only once, and only a tell writes metrics: if they exist, this lease's tell
    # wrote them.
    runs, tokens = tables.runs, {lease.trial_id: lease.token for lease, _ in results}
    statement = sa.select(runs.c.trial_id).where(
        runs.c.trial_id.in_(list(tokens)), runs.c.metrics.is_not(None)
    )
    return {tokens[trial_id] for trial_id in connection.execute(statement).scalars()}


def _try_again(
    connection: sa.Connection, results: Sequence[Result], points: Sequence[CurvePoint]
) -> set[int]:
    """Queue those failed trials again that the study allows another attempt.

    Returns:
        Their tokens.
    """
    causes = {lease.token: outcome.cause for lease, outcome in results}
    # A copy takes the study's lock, which comes before those of leases.
    table = tables.leases
    studies = sa.select(table.c.study_id).where(table.c.token.in_(list(causes)))
    lock_studies(connection, set(connection.execute(studies).scalars()))
    allowed = find_repeatable(connection, causes)
    if not allowed:
        return allowed
    repeated = [result for result in results if result[0].token in allowed]
    _store_outcomes(connection, repeated)
    insert_points(connection, [point for point in points if point.token in allowed])
    endings = {
        lease.token: Ending(outcome.cause, outcome.reason or "failed")
        for lease, outcome in repeated
    }
    requeue(connection, endings, "retried")
    return allowed


def _refuse(connection: sa.Connection, results: Sequence[Result]) -> None:
    keys = {lease.key for lease, _ in results}
    studies = {key: known_ids(connection, [key]) for key in keys}  # none when it was deleted
    rows = [
        event_row(
            study_id=study_id,
            trial_id=lease.trial_id,
            kind="fenced",
            worker=None,
            number=lease.number,
            token=lease.token,
            status=outcome.status.value,
            value=outcome.value,
        )
        for lease, outcome in results
        for study_id in studies[lease.key]
    ]
    add_events(connection, rows)


def _build_end_leases() -> Any:
    leases, trials = tables.leases, optuna_tables.trials
    standing = (
        sa.select(leases.c.token)
        .join(trials, trials.c.trial_id == leases.c.trial_id)
        .where(
            leases.c.token.in_(sa.bindparam("tokens", expanding=True)),
            trials.c.state == OptunaState.RUNNING,
        )
        # In an order that does not ask for deadlocks.
        .order_by(leases.c.trial_id)
        .with_for_update(of=leases)
    )
    return sa.delete(leases).where(leases.c.token.in_(standing)).returning(leases.c.token)


def _build_end_trials() -> sa.Update:
    trials = optuna_tables.trials
    return (
        sa.update(trials)
        .where(trials.c.trial_id.in_(sa.bindparam("ids", expanding=True)))
        .values(
            state=sa.bindparam("new_state", type_=trials.c.state.type),
            datetime_complete=sa.bindparam("now", type_=sa.DateTime()),
        )
    )


_END_LEASES = _build_end_leases()
_END_TRIALS = _build_end_trials()
