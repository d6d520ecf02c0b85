"""Take results, where the lease that they were made under still stands."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Lease, Outcome, Status
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._cascade import Cascade
from ecd_tune.store._cells import dump, utc_now
from ecd_tune.store._engine import Database
from ecd_tune.store._parts import deletion, insertion, replacement, update
from ecd_tune.store._requeue import find_repeatable, requeue
from ecd_tune.store._rows import add_event, lock_studies
from ecd_tune.store._statement import Statement, run_together, together
from ecd_tune.store._studies import known_ids
from ecd_tune.store.reports import POINT, CurvePoint, point_rows
from ecd_tune.store.retries import Cause, cause_of

__all__ = ["Result", "causes_of", "send_end", "settle", "tell"]

_STATES: Mapping[Status, OptunaState] = {
    Status.COMPLETE: OptunaState.COMPLETE,
    Status.DIVERGED: OptunaState.PRUNED,
    Status.PRUNED: OptunaState.PRUNED,
    Status.FAILED: OptunaState.FAIL,
}

Result = tuple[Lease, Outcome]


def tell(
    database: Database, results: Sequence[Result], points: Sequence[CurvePoint], *, again: bool
) -> list[bool]:
    """Store results, in one transaction.

    Args:
        database: The database.
        results: Leases and what came out.
        points: Of their curves, as far as they are not stored yet.
        again: This call may have been answered before, without the answer arriving.

    Returns:
        For each result whether it was taken; False where the lease is outdated.
    """
    causes = causes_of(results)
    if causes or again:
        with database.write() as connection:
            known = _try_again(connection, results, points, causes) if causes else set()
            known |= _end(connection, [r for r in results if r[0].token not in known], points)
            if again:
                known |= _find_told(connection, results)
    else:
        with database.write_once() as connection:
            known = _end(connection, results, points)
    return settle(database, results, known)


def causes_of(results: Sequence[Result]) -> dict[int, Cause]:
    """Return token to cause of those results that may be worth another attempt."""
    return {lease.token: cause for lease, o in results if (cause := cause_of(o)) is not None}


def settle(database: Database, results: Sequence[Result], known: Container[int]) -> list[bool]:
    """Note which results came too late.

    Args:
        database: The database.
        results: Leases and what came out.
        known: Tokens of those that are stored.

    Returns:
        For each result whether it was taken.
    """
    refused = [result for result in results if result[0].token not in known]
    if refused:
        # Nothing of these is stored, so that their refusal can be a transaction of its own.
        with database.write() as connection:
            _refuse(connection, refused)
    return [lease.token in known for lease, _ in results]


def _end(
    connection: sa.Connection, results: Sequence[Result], points: Sequence[CurvePoint]
) -> set[int]:
    with together(connection):
        ended = send_end(connection, results, points)
    return ended()


def send_end(
    connection: sa.Connection, results: Sequence[Result], points: Sequence[CurvePoint]
) -> Callable[[], set[int]]:
    """End the leases that still stand, and the trials with them.

    Args:
        connection: A write transaction, in a block of ``together``.
        results: Leases and what came out.
        points: Of their curves, as far as they are not stored yet.

    Returns:
        What gives the tokens of those leases, and waits for them where they are not there yet.
    """
    if not results:
        return set
    # In an order that does not ask for deadlocks.
    ordered = sorted(results, key=lambda result: result[0].token)
    heads = [{"token": lease.token, "trial_id": lease.trial_id} for lease, _ in ordered]
    rows = {
        "run": [{"token": lease.token, **_run_row(outcome)} for lease, outcome in ordered],
        "trial": _trial_rows(ordered),
        "value": _value_rows(ordered),
        "reason": _reason_rows(ordered),
        "point": point_rows([*points, *_last_points(ordered)]),
    }
    answer = _END.send(connection, heads, rows)
    return lambda: {token for token, _ in answer()}


def _trial_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    now = utc_now()
    return [
        {"token": lease.token, "state": _STATES[outcome.status], "datetime_complete": now}
        for lease, outcome in results
    ]


def _value_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    finite = {"objective": 0, "value_type": optuna_schema.FINITE}
    return [
        {"token": lease.token, "value": outcome.value, **finite}
        for lease, outcome in results
        if outcome.value is not None and _STATES[outcome.status] is not OptunaState.FAIL
    ]


def _reason_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {
            "token": lease.token,
            "key": "reason",
            "value_json": optuna_schema.dump_attr(outcome.reason),
        }
        for lease, outcome in results
        if outcome.reason is not None
    ]


def _last_points(results: Sequence[Result]) -> list[CurvePoint]:
    # As Optuna's own tell: a pruned trial's value is also its last intermediate value, which is
    # where samplers look for it.
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


def _run_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "reason": outcome.reason,
        "metrics": dump(outcome.metrics),
        "curves": dump({name: [c.steps, c.values] for name, c in outcome.curves.items()}),
        "seconds": outcome.cost.seconds,
        "device": outcome.cost.device,
        "energy_kwh": outcome.cost.energy_kwh,
        "energy_source": outcome.cost.energy_source or None,
        "carbon_kg": outcome.cost.carbon_kg,
    }


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
    points: Sequence[CurvePoint],
    causes: Mapping[int, Cause],
) -> set[int]:
    """Queue those failed trials again that the study allows another attempt.

    Returns:
        Their tokens.
    """
    # A copy takes the study's lock, which comes before those of leases.
    table = schema.leases
    studies = sa.select(table.c.study_id).where(table.c.token.in_(list(causes)))
    lock_studies(connection, connection.execute(studies).scalars())
    held = _hold(connection, [result for result in results if result[0].token in causes])
    allowed = find_repeatable(connection, {lease.token: causes[lease.token] for lease, _ in held})
    repeated = [result for result in held if result[0].token in allowed]
    tokens = {lease.token: lease.trial_id for lease, _ in repeated}
    rows = [{"token": lease.token, **_run_row(outcome)} for lease, outcome in repeated]
    run_together(connection, _END.follow(tokens, {"run": rows, "point": point_rows(points)}))
    reasons = {lease.token: outcome.reason or "failed" for lease, outcome in repeated}
    for cause in sorted(set(allowed.values())):
        chosen = {token: reasons[token] for token, c in allowed.items() if c is cause}
        requeue(connection, chosen, "retried", cause)
    return set(allowed)


def _hold(connection: sa.Connection, results: Sequence[Result]) -> list[Result]:
    """Lock the leases that still stand.

    Returns:
        The results that were made under them.
    """
    ordered = sorted(results, key=lambda result: result[0].token)
    calls = [
        (_HOLD_LEASE, {"token": lease.token, "trial_id": lease.trial_id}) for lease, _ in ordered
    ]
    answers = run_together(connection, calls)
    return [result for result, rows in zip(ordered, answers, strict=True) if rows]


def _refuse(connection: sa.Connection, results: Sequence[Result]) -> None:
    for lease, outcome in results:
        for study_id in known_ids(connection, [lease.key]):  # none when it was deleted meanwhile
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


_LEASES, _TRIALS = schema.leases, optuna_schema.trials
_RUNNING = sa.exists().where(
    _TRIALS.c.trial_id == _LEASES.c.trial_id, _TRIALS.c.state == OptunaState.RUNNING
)
_HOLD_LEASE = Statement(
    sa.select(_LEASES.c.token)
    .where(
        _LEASES.c.token == sa.bindparam("token", type_=sa.Integer),
        _LEASES.c.trial_id == sa.bindparam("trial_id", type_=sa.Integer),
        _RUNNING,
    )
    .with_for_update(of=_LEASES)
)
_END = Cascade(
    head=deletion(_LEASES, "token", "trial_id", gives=("token", "trial_id"), also=_RUNNING),
    key="token",
    parts={
        "run": update(
            schema.runs,
            *("reason", "metrics", "curves", "seconds"),
            *("device", "energy_kwh", "energy_source", "carbon_kg"),
        ),
        "trial": update(_TRIALS, "state", "datetime_complete"),
        "value": insertion(
            optuna_schema.trial_values, "trial_id", "objective", "value", "value_type"
        ),
        "reason": replacement(
            optuna_schema.trial_user_attributes,
            *("trial_id", "key", "value_json"),
            unique=("trial_id", "key"),
        ),
        "point": POINT,
    },
)
