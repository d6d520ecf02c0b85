"""Give trials to workers, keep them, and take them back from the dead.

A trial is leased once in its life: when its run is lost or released, the trial itself becomes a
FAIL that does not count, and a copy of it waits, with the same hyperparameters and seed. Both
changes are one transaction, so that no crash in between can lose or double the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Lease, RunRequest
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._cells import load, utc_now
from ecd_tune.store._engine import Database
from ecd_tune.store._inserts import Draft, insert_trials
from ecd_tune.store._rows import StudyRef, add_event, lock_studies, take_tally
from ecd_tune.store.workers import Worker, touch

__all__ = ["claim_waiting", "find_lost", "grant", "renew", "requeue"]


def claim_waiting(
    connection: sa.Connection,
    database: Database,
    ref: StudyRef,
    count: int,
    worker: Worker,
    seconds: float,
) -> list[Lease]:
    """Lease waiting trials, the longest waiting first.

    Args:
        connection: A write transaction that holds the study's lock.
        database: For its clock.
        ref: The study.
        count: How many at the most.
        worker: Who gets them; its row is there.
        seconds: Length of the lease.

    Returns:
        The leases; fewer than ``count`` when fewer wait.
    """
    trials, runs = optuna_schema.trials, schema.runs
    ids = connection.execute(
        sa.select(trials.c.trial_id)
        .join(runs, runs.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == ref.id, trials.c.state == OptunaState.WAITING)
        .order_by(trials.c.number)
        .limit(count)
    ).scalars()
    taken = list(ids)
    if not taken:
        return []
    connection.execute(
        sa.update(trials)
        .where(trials.c.trial_id.in_(taken))
        .values(state=OptunaState.RUNNING, datetime_start=utc_now())
    )
    connection.execute(sa.update(runs).where(runs.c.trial_id.in_(taken)).values(worker=worker.name))
    return grant(connection, database, ref, taken, worker, seconds)


def grant(
    connection: sa.Connection,
    database: Database,
    ref: StudyRef,
    trial_ids: Sequence[int],
    worker: Worker,
    seconds: float,
) -> list[Lease]:
    """Write the leases of trials that run from now on.

    Args:
        connection: A write transaction that holds the study's lock.
        database: For its clock.
        ref: The study.
        trial_ids: The trials; RUNNING already, with their rows in ``ecd_runs``.
        worker: Who gets them.
        seconds: Length of the lease.

    Returns:
        One lease a trial, by number.
    """
    leases, runs, trials = schema.leases, schema.runs, optuna_schema.trials
    row = {"study_id": ref.id, "worker_id": worker.id}
    connection.execute(
        sa.insert(leases).values(expires_at=database.now + seconds),
        [{**row, "trial_id": trial_id} for trial_id in trial_ids],
    )
    statement = (
        sa.select(trials.c.trial_id, trials.c.number, leases.c.token, *_REQUEST)
        .join(leases, leases.c.trial_id == trials.c.trial_id)
        .join(runs, runs.c.trial_id == trials.c.trial_id)
        .where(trials.c.trial_id.in_(trial_ids))
        .order_by(trials.c.number)
    )
    return [_to_lease(ref, row) for row in connection.execute(statement)]


_REQUEST = (schema.runs.c.attempt, schema.runs.c.params, schema.runs.c.seed, schema.runs.c.source)


def _to_lease(ref: StudyRef, row: Any) -> Lease:
    return Lease(
        key=ref.key,
        trial_id=row.trial_id,
        number=row.number,
        token=row.token,
        attempt=row.attempt,
        request=RunRequest(load(row.params), row.seed, ref.key.stage),
        source=row.source,
    )


def renew(
    connection: sa.Connection, database: Database, leases: Sequence[Lease], seconds: float
) -> list[bool]:
    """Put off the expiry of leases that still stand.

    Args:
        connection: A write transaction.
        database: For its clock.
        leases: The leases; all of one worker.
        seconds: From now on.

    Returns:
        For each lease whether it still stands.
    """
    table = schema.leases
    mine = table.c.token.in_([lease.token for lease in leases])
    connection.execute(sa.update(table).where(mine).values(expires_at=database.now + seconds))
    rows = connection.execute(sa.select(table.c.token, table.c.worker_id).where(mine)).all()
    for worker_id in {row.worker_id for row in rows}:
        touch(connection, database, worker_id)
    standing = {row.token for row in rows}
    return [lease.token in standing for lease in leases]


def find_lost(
    connection: sa.Connection, database: Database, study_ids: Iterable[int] | None
) -> dict[int, str]:
    """Find the leases that nobody works on any more.

    Args:
        connection: A transaction.
        database: For its clock.
        study_ids: Look at these studies only; None for all.

    Returns:
        Token to the reason in words.
    """
    leases, workers = schema.leases, schema.workers
    statement = sa.select(
        leases.c.token, (leases.c.expires_at < database.now).label("expired"), workers
    ).join(workers, workers.c.id == leases.c.worker_id)
    if study_ids is not None:
        statement = statement.where(leases.c.study_id.in_(list(study_ids)))
    dead: dict[str, bool] = {}
    lost = {}
    for row in connection.execute(statement):
        worker = Worker(row.host, row.boot_id, row.pid, row.process_start)
        if row.expired:
            lost[row.token] = f"lost: {worker.name} did not renew its lease in time"
        elif dead.setdefault(row.id, worker.is_dead):
            lost[row.token] = f"lost: the process {worker.name} has ended"
    return lost


def requeue(
    connection: sa.Connection, database: Database, reasons: dict[int, str], kind: str
) -> int:
    """Turn leased trials into FAIL(lost) and queue a copy of each, where the lease still stands.

    Args:
        connection: A write transaction.
        database: For its clock.
        reasons: Token to the reason in words.
        kind: Kind of the event, ``lost`` or ``released``.

    Returns:
        How many trials were queued again.
    """
    table = schema.leases
    standing = sa.select(table.c.study_id).where(table.c.token.in_(reasons))
    study_ids = sorted(set(connection.execute(standing).scalars()))
    lock_studies(connection, study_ids)
    # Looked up again under the lock: another reaper may have been faster.
    rows = connection.execute(_lost_rows(reasons)).all()
    connection.execute(sa.delete(table).where(table.c.token.in_(reasons)))
    running = [row for row in rows if row.state is OptunaState.RUNNING]
    for study_id in study_ids:
        own = [row for row in running if row.study_id == study_id]
        _fail(connection, {row.trial_id: reasons[row.token] for row in own})
        drafts = [_copy(connection, row) for row in own]
        first = take_tally(connection, study_id).next_number
        insert_trials(connection, study_id, first, drafts)
        for offset, row in enumerate(own):
            add_event(
                connection,
                database.now,
                study_id=study_id,
                trial_id=row.trial_id,
                kind=kind,
                worker=row.worker,
                number=row.number,
                queued_as=first + offset,
                attempt=row.attempt,
                reason=reasons[row.token],
            )
    return len(running)


def _lost_rows(tokens: Iterable[int]) -> sa.Select[Any]:
    leases, runs, trials = schema.leases, schema.runs, optuna_schema.trials
    return (
        sa.select(
            leases.c.token,
            leases.c.study_id,
            trials.c.trial_id,
            trials.c.number,
            trials.c.state,
            runs.c.worker,
            *_REQUEST,
        )
        .join(trials, trials.c.trial_id == leases.c.trial_id)
        .join(runs, runs.c.trial_id == leases.c.trial_id)
        .where(leases.c.token.in_(list(tokens)))
        .order_by(trials.c.number)
        .with_for_update(of=leases)
    )


def _fail(connection: sa.Connection, reasons: dict[int, str]) -> None:
    if not reasons:
        return
    trials, runs = optuna_schema.trials, schema.runs
    connection.execute(
        sa.update(trials)
        .where(trials.c.trial_id.in_(list(reasons)))
        .values(state=OptunaState.FAIL, datetime_complete=utc_now())
    )
    connection.execute(
        sa.update(runs)
        .where(runs.c.trial_id == sa.bindparam("of_trial"))
        .values(lost=True, reason=sa.bindparam("why")),
        [{"of_trial": trial_id, "why": why} for trial_id, why in reasons.items()],
    )
    connection.execute(
        sa.insert(optuna_schema.trial_user_attributes),
        [
            {"trial_id": trial_id, "key": "reason", "value_json": optuna_schema.dump_attr(why)}
            for trial_id, why in reasons.items()
        ],
    )


def _copy(connection: sa.Connection, row: Any) -> Draft:
    params, attributes = optuna_schema.trial_params, optuna_schema.trial_system_attributes
    distributions = {
        name: optuna_schema.parse_distribution(text)
        for name, text in connection.execute(
            sa.select(params.c.param_name, params.c.distribution_json)
            .where(params.c.trial_id == row.trial_id)
            .order_by(params.c.param_id)
        )
    }
    system_attrs = {
        key: optuna_schema.load_attr(text)
        for key, text in connection.execute(
            sa.select(attributes.c.key, attributes.c.value_json)
            .where(attributes.c.trial_id == row.trial_id)
            .order_by(attributes.c.trial_system_attribute_id)
        )
    }
    # Optuna's own names for a retried trial.
    history = [*system_attrs.get("retry_history", []), row.number]
    original = system_attrs.get("failed_trial", row.number)
    return Draft(
        params=load(row.params),
        distributions=distributions,
        source=row.source,
        seed=row.seed,
        attempt=row.attempt + 1,
        system_attrs={**system_attrs, "failed_trial": original, "retry_history": history},
    )
