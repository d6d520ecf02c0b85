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
from ecd_tune.store.db.sql import Change, write_rows
from ecd_tune.store.events import event_row, new_events
from ecd_tune.store.sampling.constraints import VIOLATING, constraint_key
from ecd_tune.store.studies import known_ids, lock_studies
from ecd_tune.store.trials.curves import CurvePoint, new_points
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
    last = _last_points(own)
    write_rows(
        connection,
        _ended_trials(own),
        _outcomes(own),
        _values(own),
        _reasons(own),
        _violations(own),
        new_events(_traces(connection, own)),
        new_points([*(p for p in points if p.token in ended), *last]),
    )
    promote(connection, own)
    return ended


def _ended_trials(results: Sequence[Result]) -> Change:
    now = utc_now()
    rows = [
        {
            "trial_id": lease.trial_id,
            "state": _STATES[outcome.status],
            "datetime_complete": now,
        }
        for lease, outcome in results
    ]
    return Change(optuna_tables.trials, rows, key="trial_id")


def _outcomes(results: Sequence[Result]) -> Change:
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
    return Change(tables.runs, rows, key="trial_id")


def _values(results: Sequence[Result]) -> Change:
    finite = {"objective": 0, "value_type": optuna_tables.FINITE}
    rows = [
        {"trial_id": lease.trial_id, "value": outcome.value, **finite}
        for lease, outcome in results
        if outcome.value is not None and _STATES[outcome.status] is not OptunaState.FAIL
    ]
    return Change(optuna_tables.trial_values, rows)


def _reasons(results: Sequence[Result]) -> Change:
    rows = [
        {
            "trial_id": lease.trial_id,
            "key": "reason",
            "value_json": optuna_tables.dump_attr(outcome.reason),
        }
        for lease, outcome in results
        if outcome.reason is not None
    ]
    return Change(optuna_tables.trial_user_attributes, rows, ("trial_id", "key"))


def _violations(results: Sequence[Result]) -> Change:
    rows = [
        {
            "trial_id": lease.trial_id,
            "key": constraint_key(outcome.cause),
            "value_json": optuna_tables.dump_attr(1.0),
        }
        for lease, outcome in results
        if outcome.cause in VIOLATING
    ]
    return Change(optuna_tables.trial_system_attributes, rows, ("trial_id", "key"))


def _traces(connection: sa.Connection, results: Sequence[Result]) -> list[dict[str, Any]]:
    shown = [result for result in results if result[1].trace]
    studies = {lease.key: known_ids(connection, [lease.key]) for lease, _ in shown}
    return [
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
    kept = [point for point in points if point.token in allowed]
    write_rows(connection, _outcomes(repeated), new_points(kept))
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
    write_rows(connection, new_events(rows))


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


_END_LEASES = _build_end_leases()
