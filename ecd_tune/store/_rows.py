"""Count a study's trials, and insert new ones into both schemas."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Direction, Params, StudyKey
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema

__all__ = [
    "Draft",
    "StudyRef",
    "Tally",
    "add_event",
    "dump",
    "insert_details",
    "insert_many",
    "insert_trials",
    "load",
    "lock_studies",
    "take_tally",
    "utc_now",
]


@dataclass(frozen=True)
class StudyRef:
    """One stored study, found by its key.

    Attributes:
        id: Optuna's study id.
        key: Its names.
        direction: Of its metric.
    """

    id: int
    key: StudyKey
    direction: Direction


@dataclass(frozen=True)
class Tally:
    """How a study's trials stand.

    Attributes:
        finished: COMPLETE, PRUNED or FAIL, lost attempts left out.
        leased: Running under a lease; a trial that plain Optuna runs is not ours to wait for.
        waiting: Queued.
        next_number: The number that the next new trial gets.
    """

    finished: int
    leased: int
    waiting: int
    next_number: int

    def room(self, target: int) -> int:
        """Return how many new trials may be made when ``target`` are wanted."""
        return max(0, target - self.finished - self.leased - self.waiting)

    def claimable(self, target: int) -> int:
        """Return how many waiting trials may be started when ``target`` are wanted."""
        return max(0, min(self.waiting, target - self.finished - self.leased))


@dataclass(frozen=True)
class Draft:
    """A trial that is not stored yet.

    Attributes:
        params: All hyperparameters.
        distributions: Of those that Optuna is to see.
        source: As in :class:`ecd_tune.records.Lease`.
        seed: Seed of the run.
        label: Unique key in its study, or None.
        attempt: 1 for the first time.
        system_attrs: What the sampler noted with the trial.
    """

    params: Params
    distributions: Mapping[str, BaseDistribution]
    source: str
    seed: int
    label: str | None = None
    attempt: int = 1
    system_attrs: Mapping[str, Any] = field(default_factory=dict)


def lock_studies(connection: sa.Connection, study_ids: Iterable[int]) -> None:
    """Lock studies until the transaction ends, in an order that cannot deadlock.

    Args:
        connection: A write transaction (which on SQLite has locked the whole file already).
        study_ids: Optuna's study ids.
    """
    table = optuna_schema.studies
    statement = sa.select(table.c.study_id).where(table.c.study_id.in_(sorted(set(study_ids))))
    connection.execute(statement.order_by(table.c.study_id).with_for_update()).all()


def take_tally(connection: sa.Connection, study_id: int) -> Tally:
    """Count one study's trials.

    Args:
        connection: A transaction.
        study_id: Optuna's study id.

    Returns:
        The counts at this moment.
    """
    trials, runs, leases = optuna_schema.trials, schema.runs, schema.leases
    rows = connection.execute(
        sa.select(trials.c.state, sa.func.count(), sa.func.max(trials.c.number))
        .where(trials.c.study_id == study_id)
        .group_by(trials.c.state)
    ).all()
    lost = sa.select(sa.func.count()).where(runs.c.study_id == study_id, runs.c.lost.is_(True))
    leased = sa.select(sa.func.count()).where(leases.c.study_id == study_id)
    lost_count, leased_count = connection.execute(
        sa.select(lost.scalar_subquery(), leased.scalar_subquery())
    ).one()
    finished = sum(count for state, count, _ in rows if state.is_finished())
    return Tally(
        finished=finished - lost_count,
        leased=leased_count,
        waiting=sum(count for state, count, _ in rows if state is OptunaState.WAITING),
        next_number=1 + max((number for _, _, number in rows), default=-1),
    )


def insert_trials(
    connection: sa.Connection,
    study_id: int,
    first_number: int,
    drafts: Sequence[Draft],
    *,
    running_on: str | None = None,
) -> list[int]:
    """Insert trials with consecutive numbers.

    Args:
        connection: A write transaction that holds the study's lock.
        study_id: Optuna's study id.
        first_number: Number of the first.
        drafts: The trials.
        running_on: ``host:pid`` of the worker that runs them from now on; None leaves them
            waiting.

    Returns:
        Their trial ids, in order.
    """
    if not drafts:
        return []
    ids = _insert_bare(connection, study_id, first_number, len(drafts), running_on is not None)
    insert_details(connection, study_id, list(zip(ids, drafts, strict=True)), running_on)
    return ids


def insert_details(
    connection: sa.Connection,
    study_id: int,
    pairs: Sequence[tuple[int, Draft]],
    running_on: str | None = None,
) -> None:
    """Insert everything about trials that are in Optuna's ``trials`` already.

    Args:
        connection: A write transaction that holds the study's lock.
        study_id: Optuna's study id.
        pairs: Trial id and what is to be stored for it.
        running_on: As in :func:`insert_trials`.
    """
    runs = [_run_row(trial_id, study_id, draft, running_on) for trial_id, draft in pairs]
    connection.execute(sa.insert(schema.runs), runs)
    seeds = [{"trial_id": i, "key": "seed", "value_json": str(draft.seed)} for i, draft in pairs]
    insert_many(connection, optuna_schema.trial_params, _param_rows(pairs))
    insert_many(connection, optuna_schema.trial_user_attributes, seeds)
    insert_many(
        connection,
        optuna_schema.trial_system_attributes,
        [
            {"trial_id": i, "key": key, "value_json": json.dumps(value)}
            for i, draft in pairs
            for key, value in draft.system_attrs.items()
        ],
    )


def insert_many(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows, if there are any.

    Args:
        connection: A write transaction.
        table: Where to.
        rows: All with the same columns.
    """
    if rows:
        connection.execute(sa.insert(table), rows)


def add_event(
    connection: sa.Connection,
    now: sa.ColumnElement[float],
    *,
    study_id: int,
    trial_id: int | None,
    kind: str,
    worker: str | None,
    **detail: Any,
) -> None:
    """Note that something happened that a person may ask about later.

    Args:
        connection: A write transaction.
        now: The database's clock.
        study_id: Optuna's study id.
        trial_id: The trial, where there is one.
        kind: ``lost``, ``released``, ``fenced`` and so on.
        worker: ``host:pid``, where known.
        **detail: What else is to be known; JSON-able.
    """
    connection.execute(
        sa.insert(schema.events).values(
            time=now,
            study_id=study_id,
            trial_id=trial_id,
            kind=kind,
            worker=worker,
            detail=json.dumps(detail),
        )
    )


def dump(value: Any) -> str:
    """Return plain values as strict JSON; NaN and infinities become strings."""
    return json.dumps(_pack(value), separators=(",", ":"), allow_nan=False)


def load(text: str | None) -> Any:
    """Read what :func:`dump` wrote; None gives an empty dictionary."""
    return {} if text is None else json.loads(text)


def utc_now() -> datetime:
    """Return this machine's time as Optuna stores it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _pack(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _pack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(item) for item in value]
    return value


def _insert_bare(
    connection: sa.Connection, study_id: int, first: int, count: int, running: bool
) -> list[int]:
    trials = optuna_schema.trials
    row = {
        "study_id": study_id,
        "state": OptunaState.RUNNING if running else OptunaState.WAITING,
        "datetime_start": utc_now() if running else None,
    }
    rows = [{**row, "number": first + offset} for offset in range(count)]
    connection.execute(sa.insert(trials), rows)
    statement = sa.select(trials.c.trial_id).where(
        trials.c.study_id == study_id, trials.c.number >= first
    )
    return list(connection.execute(statement.order_by(trials.c.number)).scalars())


def _run_row(trial_id: int, study_id: int, draft: Draft, worker: str | None) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "study_id": study_id,
        "label": draft.label,
        "seed": draft.seed,
        "source": draft.source,
        "attempt": draft.attempt,
        "lost": False,
        "params": dump(draft.params),
        "seconds": 0.0,
        "device": "",
        "worker": worker,
    }


def _param_rows(pairs: Iterable[tuple[int, Draft]]) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(draft.params[name]),
            "distribution_json": optuna_schema.to_json(distribution),
        }
        for trial_id, draft in pairs
        for name, distribution in draft.distributions.items()
    ]
