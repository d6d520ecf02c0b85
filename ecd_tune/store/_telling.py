"""Take results, where the lease that they were made under still stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Lease, Outcome, Status
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._cells import dump, utc_now
from ecd_tune.store._requeue import find_repeatable, requeue
from ecd_tune.store._rows import add_event, lock_studies
from ecd_tune.store._statement import Call, Statement, insert_into, run_together
from ecd_tune.store.reports import CurvePoint, point_calls
from ecd_tune.store.retries import Cause, cause_of

__all__ = ["tell"]

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
        results: Leases and what came out.
        points: Of their curves, as far as they are not stored yet.
        again: This call may have been answered before, without the answer arriving.

    Returns:
        For each result whether it was taken; False where the lease is outdated.
    """
    causes = {lease.token: cause for lease, o in results if (cause := cause_of(o)) is not None}
    standing = _take_leases(connection, results, causes)
    taken = [result for result in results if result[0].token in standing]
    done = _find_told(connection, results) - standing if again else set()
    calls = _run_calls(taken)
    calls += point_calls([point for point in points if point.token in standing])
    final = taken
    if causes:
        run_together(connection, calls)
        repeated = _try_again(connection, taken, causes)
        final = [result for result in taken if result[0].token not in repeated]
        calls = []
    run_together(connection, [*calls, *_final_calls(final, causes)])
    known = standing | done
    for lease, outcome in results:
        if lease.token not in known:
            _refuse(connection, lease, outcome)
    return [lease.token in known for lease, _ in results]


def _take_leases(
    connection: sa.Connection, results: Sequence[Result], causes: Mapping[int, Cause]
) -> set[int]:
    """End the leases of results that are final; hold those of trials that may be tried again.

    Returns:
        The tokens of those that still stood.
    """
    if causes:
        # A copy may have to be queued, which takes the study's lock; always before the leases'.
        leases = schema.leases
        mine = leases.c.token.in_(list(causes))
        studies = sa.select(leases.c.study_id).where(mine)
        lock_studies(connection, connection.execute(studies).scalars())
    # In an order that cannot deadlock.
    ordered = sorted((lease.token, lease.trial_id) for lease, _ in results)
    calls: list[Call] = [
        (_HOLD_LEASE if token in causes else _END_LEASE, {"token": token, "trial_id": trial_id})
        for token, trial_id in ordered
    ]
    return {row[0] for rows in run_together(connection, calls) for row in rows}


def _find_told(connection: sa.Connection, results: Sequence[Result]) -> set[int]:
    # A trial is leased once in its life, and only a tell writes metrics: where they stand, it
    # was this lease's own tell.
    runs, tokens = schema.runs, {lease.trial_id: lease.token for lease, _ in results}
    statement = sa.select(runs.c.trial_id).where(
        runs.c.trial_id.in_(list(tokens)), runs.c.metrics.is_not(None)
    )
    return {tokens[trial_id] for trial_id in connection.execute(statement).scalars()}


def _try_again(
    connection: sa.Connection,
    results: Sequence[Result],
    causes: Mapping[int, Cause],
) -> set[int]:
    """Queue those failed trials again that the study allows another attempt.

    Returns:
        Their tokens.
    """
    reasons = {lease.token: outcome.reason or "failed" for lease, outcome in results}
    allowed = find_repeatable(connection, {t: causes[t] for t in reasons if t in causes})
    for cause in sorted(set(allowed.values())):
        chosen = {token: reasons[token] for token, c in allowed.items() if c is cause}
        requeue(connection, chosen, "retried", cause)
    return set(allowed)


def _run_calls(results: Sequence[Result]) -> list[Call]:
    rows = [
        {
            "of_trial": lease.trial_id,
            "reason": outcome.reason,
            "metrics": dump(outcome.metrics),
            "curves": dump({name: [c.steps, c.values] for name, c in outcome.curves.items()}),
            "seconds": outcome.cost.seconds,
            "device": outcome.cost.device,
            "energy_kwh": outcome.cost.energy_kwh,
            "energy_source": outcome.cost.energy_source or None,
            "carbon_kg": outcome.cost.carbon_kg,
        }
        for lease, outcome in results
    ]
    return [(_UPDATE_RUN, rows)] if rows else []


def _final_calls(results: Sequence[Result], causes: Mapping[int, Cause]) -> list[Call]:
    now = utc_now()
    trials = [
        {
            "of_trial": lease.trial_id,
            "state": _STATES[outcome.status],
            "datetime_complete": now,
        }
        for lease, outcome in results
    ]
    held = [
        {"token": lease.token, "trial_id": lease.trial_id}
        for lease, _ in results
        if lease.token in causes
    ]
    calls: list[Call] = [(_UPDATE_TRIAL, trials), (_END_HELD, held)]
    calls += [*_value_calls(results), *_reason_calls(results)]
    return [(statement, rows) for statement, rows in calls if rows]


def _value_calls(results: Sequence[Result]) -> list[Call]:
    # As Optuna's own tell: a pruned trial's value is also its last intermediate value, which is
    # where samplers look for it.
    values: list[dict[str, Any]] = []
    reported: list[CurvePoint] = []
    for lease, outcome in results:
        state = _STATES[outcome.status]
        if outcome.value is None or state is OptunaState.FAIL:
            continue
        row = {"trial_id": lease.trial_id}
        finite = {"value": outcome.value, "value_type": optuna_schema.FINITE}
        values.append({**row, "objective": 0, **finite})
        if state is OptunaState.PRUNED:
            last = outcome.curve.steps[-1] if outcome.curve.steps else 0
            reported.append(CurvePoint(lease.trial_id, lease.token, last, outcome.value))
    return [(_INSERT_VALUE, values), *point_calls(reported)]


def _reason_calls(results: Sequence[Result]) -> list[Call]:
    rows = [
        {
            "trial_id": lease.trial_id,
            "key": "reason",
            "value_json": optuna_schema.dump_attr(outcome.reason),
        }
        for lease, outcome in results
        if outcome.reason is not None
    ]
    given = [{"of_trial": row["trial_id"]} for row in rows]
    return [(_DELETE_REASON, given), (_INSERT_ATTR, rows)]


def _refuse(connection: sa.Connection, lease: Lease, outcome: Outcome) -> None:
    table = schema.studies
    key = lease.key
    study_id = connection.execute(
        sa.select(table.c.study_id).where(
            table.c.study == key.study,
            table.c.optimizer == key.optimizer,
            table.c.stage == key.stage.value,
        )
    ).scalar()
    if study_id is None:  # the whole study was deleted meanwhile
        return
    add_event(
        connection,
        study_id=study_id,
        trial_id=lease.trial_id,
        kind="fenced",
        worker=None,
        number=lease.number,
        token=lease.token,
        status=outcome.status.value,
        value=outcome.value,
    )


def _build_lease_condition() -> tuple[sa.ColumnElement[bool], ...]:
    leases, trials = schema.leases, optuna_schema.trials
    running = sa.exists().where(
        trials.c.trial_id == leases.c.trial_id, trials.c.state == OptunaState.RUNNING
    )
    return (
        leases.c.token == sa.bindparam("token", type_=sa.Integer),
        leases.c.trial_id == sa.bindparam("trial_id", type_=sa.Integer),
        running,
    )


def _build_update(table: sa.Table, *names: str) -> sa.Update:
    values = {name: sa.bindparam(name, type_=table.c[name].type) for name in names}
    return (
        sa.update(table)
        .where(table.c.trial_id == sa.bindparam("of_trial", type_=sa.Integer))
        .values(values)
    )


_LEASES, _ATTRS = schema.leases, optuna_schema.trial_user_attributes
_HOLD_LEASE = Statement(
    sa.select(_LEASES.c.token).where(*_build_lease_condition()).with_for_update(of=_LEASES)
)
_END_LEASE = Statement(
    sa.delete(_LEASES).where(*_build_lease_condition()).returning(_LEASES.c.token)
)
_END_HELD = Statement(sa.delete(_LEASES).where(*_build_lease_condition()[:2]))
_UPDATE_RUN = Statement(
    _build_update(
        schema.runs,
        "reason",
        "metrics",
        "curves",
        "seconds",
        "device",
        "energy_kwh",
        "energy_source",
        "carbon_kg",
    )
)
_UPDATE_TRIAL = Statement(_build_update(optuna_schema.trials, "state", "datetime_complete"))
_INSERT_VALUE = Statement(
    insert_into(optuna_schema.trial_values, "trial_id", "objective", "value", "value_type")
)
_DELETE_REASON = Statement(
    sa.delete(_ATTRS).where(
        _ATTRS.c.trial_id == sa.bindparam("of_trial", type_=sa.Integer), _ATTRS.c.key == "reason"
    )
)
_INSERT_ATTR = Statement(insert_into(_ATTRS, "trial_id", "key", "value_json"))
