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
from ecd_tune.store._engine import Database
from ecd_tune.store._inserts import insert_many
from ecd_tune.store._leases import find_repeatable, requeue
from ecd_tune.store._rows import add_event, lock_studies
from ecd_tune.store.reports import CurvePoint, insert_points
from ecd_tune.store.retries import cause_of

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
    database: Database,
    results: Sequence[Result],
    points: Sequence[CurvePoint],
    *,
    again: bool,
) -> list[bool]:
    """Store results.

    Args:
        connection: A write transaction.
        database: For its clock.
        results: Leases and what came out.
        points: Of their curves, as far as they are not stored yet.
        again: This call may have been answered before, without the answer arriving.

    Returns:
        For each result whether it was taken; False where the lease is outdated.
    """
    standing = _find_standing(connection, results)
    taken = [result for result in results if result[0].token in standing]
    done = _find_told(connection, results) - standing if again else set()
    _store_runs(connection, taken)
    insert_points(connection, [point for point in points if point.token in standing])
    repeated = _try_again(connection, database, taken)
    final = [result for result in taken if result[0].token not in repeated]
    _finish_trials(connection, final)
    _store_values(connection, final)
    _store_reasons(connection, final)
    leases = schema.leases
    tokens = [lease.token for lease, _ in final]
    connection.execute(sa.delete(leases).where(leases.c.token.in_(tokens)))
    known = standing | done
    for lease, outcome in results:
        if lease.token not in known:
            _refuse(connection, database, lease, outcome)
    return [lease.token in known for lease, _ in results]


def _find_standing(connection: sa.Connection, results: Sequence[Result]) -> set[int]:
    leases, trials = schema.leases, optuna_schema.trials
    tokens = {lease.token: lease.trial_id for lease, _ in results}
    mine = leases.c.token.in_(list(tokens))
    if any(outcome.status is Status.FAILED for _, outcome in results):
        # A copy may have to be queued, which takes the study's lock; always before the leases'.
        studies = sa.select(leases.c.study_id).where(mine)
        lock_studies(connection, connection.execute(studies).scalars())
    rows = connection.execute(
        sa.select(leases.c.token, leases.c.trial_id)
        .join(trials, trials.c.trial_id == leases.c.trial_id)
        .where(mine, trials.c.state == OptunaState.RUNNING)
        .order_by(leases.c.token)
        .with_for_update(of=leases)
    )
    return {row.token for row in rows if tokens[row.token] == row.trial_id}


def _find_told(connection: sa.Connection, results: Sequence[Result]) -> set[int]:
    # A trial is leased once in its life, and only a tell writes metrics: where they stand, it
    # was this lease's own tell.
    runs, tokens = schema.runs, {lease.trial_id: lease.token for lease, _ in results}
    statement = sa.select(runs.c.trial_id).where(
        runs.c.trial_id.in_(list(tokens)), runs.c.metrics.is_not(None)
    )
    return {tokens[trial_id] for trial_id in connection.execute(statement).scalars()}


def _try_again(
    connection: sa.Connection, database: Database, results: Sequence[Result]
) -> set[int]:
    """Queue those failed trials again that the study allows another attempt.

    Returns:
        Their tokens.
    """
    causes = {lease.token: cause for lease, o in results if (cause := cause_of(o)) is not None}
    if not causes:
        return set()
    reasons = {lease.token: outcome.reason or "failed" for lease, outcome in results}
    allowed = find_repeatable(connection, causes)
    for cause in sorted(set(allowed.values())):
        chosen = {token: reasons[token] for token, c in allowed.items() if c is cause}
        requeue(connection, database, chosen, "retried", cause)
    return set(allowed)


def _finish_trials(connection: sa.Connection, results: Sequence[Result]) -> None:
    trials, now = optuna_schema.trials, utc_now()
    for state in set(_STATES.values()):
        ids = [lease.trial_id for lease, outcome in results if _STATES[outcome.status] is state]
        if ids:
            connection.execute(
                sa.update(trials)
                .where(trials.c.trial_id.in_(ids))
                .values(state=state, datetime_complete=now)
            )


def _store_runs(connection: sa.Connection, results: Sequence[Result]) -> None:
    if not results:
        return
    names = (
        "reason",
        "metrics",
        "curve",
        "seconds",
        "device",
        "energy_kwh",
        "energy_source",
        "carbon_kg",
    )
    statement = (
        sa.update(schema.runs)
        .where(schema.runs.c.trial_id == sa.bindparam("of_trial"))
        .values({name: sa.bindparam(f"new_{name}") for name in names})
    )
    rows = [
        {
            "of_trial": lease.trial_id,
            "new_reason": outcome.reason,
            "new_metrics": dump(outcome.metrics),
            "new_curve": dump([outcome.curve.steps, outcome.curve.values]),
            "new_seconds": outcome.cost.seconds,
            "new_device": outcome.cost.device,
            "new_energy_kwh": outcome.cost.energy_kwh,
            "new_energy_source": outcome.cost.energy_source or None,
            "new_carbon_kg": outcome.cost.carbon_kg,
        }
        for lease, outcome in results
    ]
    connection.execute(statement, rows)


def _store_values(connection: sa.Connection, results: Sequence[Result]) -> None:
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
    insert_many(connection, optuna_schema.trial_values, values)
    insert_points(connection, reported)


def _store_reasons(connection: sa.Connection, results: Sequence[Result]) -> None:
    table = optuna_schema.trial_user_attributes
    rows = [
        {
            "trial_id": lease.trial_id,
            "key": "reason",
            "value_json": optuna_schema.dump_attr(outcome.reason),
        }
        for lease, outcome in results
        if outcome.reason is not None
    ]
    if rows:
        ids = [row["trial_id"] for row in rows]
        connection.execute(
            sa.delete(table).where(table.c.trial_id.in_(ids), table.c.key == "reason")
        )
    insert_many(connection, table, rows)


def _refuse(connection: sa.Connection, database: Database, lease: Lease, outcome: Outcome) -> None:
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
        database.now,
        study_id=study_id,
        trial_id=lease.trial_id,
        kind="fenced",
        worker=None,
        number=lease.number,
        token=lease.token,
        status=outcome.status.value,
        value=outcome.value,
    )
