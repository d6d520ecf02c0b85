"""Insert new trials into both schemas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Params
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._cells import dump, utc_now
from ecd_tune.store._statement import Call, Statement, insert_into, run_together
from ecd_tune.store.retries import History, dump_counts

__all__ = ["Draft", "detail_calls", "insert_bare", "insert_details", "insert_trials"]


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
        history: Earlier attempts by cause.
    """

    params: Params
    distributions: Mapping[str, BaseDistribution]
    source: str
    seed: int
    label: str | None = None
    attempt: int = 1
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=dict)


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
    ids = insert_bare(connection, study_id, first_number, len(drafts), running_on is not None)
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
    run_together(connection, detail_calls(study_id, pairs, running_on))


def detail_calls(
    study_id: int, pairs: Sequence[tuple[int, Draft]], running_on: str | None
) -> list[Call]:
    """Return the statements behind :func:`insert_details`, to be run with others.

    Args:
        study_id: Optuna's study id.
        pairs: Trial id and what is to be stored for it.
        running_on: As in :func:`insert_trials`.

    Returns:
        The calls.
    """
    seeds = [{"trial_id": i, "key": "seed", "value_json": str(draft.seed)} for i, draft in pairs]
    notes = [
        {"trial_id": i, "key": key, "value_json": json.dumps(value)}
        for i, draft in pairs
        for key, value in draft.system_attrs.items()
    ]
    runs = [_run_row(trial_id, study_id, draft, running_on) for trial_id, draft in pairs]
    calls = [
        (_INSERT_RUN, runs),
        (_INSERT_PARAM, _param_rows(pairs)),
        (_INSERT_USER_ATTR, seeds),
        (_INSERT_SYSTEM_ATTR, notes),
    ]
    return [(statement, rows) for statement, rows in calls if rows]


def insert_bare(
    connection: sa.Connection, study_id: int, first: int, count: int, running: bool
) -> list[int]:
    """Insert consecutive trials of which Optuna's ``trials`` alone knows.

    Args:
        connection: A write transaction that holds the study's lock.
        study_id: Optuna's study id.
        first: Number of the first.
        count: How many.
        running: Whether they run from now on, or wait.

    Returns:
        Their trial ids, in order.
    """
    row = {
        "study_id": study_id,
        "state": OptunaState.RUNNING if running else OptunaState.WAITING,
        "datetime_start": utc_now() if running else None,
    }
    calls = [(_INSERT_TRIAL, {**row, "number": first + offset}) for offset in range(count)]
    return [trial_id for ((trial_id,),) in run_together(connection, calls)]


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
        "history": dump_counts(draft.history),
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


def _build(table: sa.Table, *names: str) -> Statement:
    return Statement(insert_into(table, *names))


_TRIALS = optuna_schema.trials
_INSERT_TRIAL = Statement(
    insert_into(_TRIALS, "study_id", "number", "state", "datetime_start").returning(
        _TRIALS.c.trial_id
    )
)
_INSERT_RUN = _build(
    schema.runs,
    *("trial_id", "study_id", "label", "seed", "source", "attempt", "lost", "params"),
    *("seconds", "device", "worker", "history"),
)
_INSERT_PARAM = _build(
    optuna_schema.trial_params, "trial_id", "param_name", "param_value", "distribution_json"
)
_INSERT_USER_ATTR = _build(optuna_schema.trial_user_attributes, "trial_id", "key", "value_json")
_INSERT_SYSTEM_ATTR = _build(optuna_schema.trial_system_attributes, "trial_id", "key", "value_json")
