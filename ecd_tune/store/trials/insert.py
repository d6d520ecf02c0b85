"""Insert new trials into both schemas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.cells import dump, utc_now
from ecd_tune.store.db.sql import Change, insert_returning, write_rows
from ecd_tune.store.sampling.points import StoredPoint
from ecd_tune.store.trials.retries import History, dump_counts

__all__ = ["Draft", "insert_numbers", "insert_trials", "new_details"]


@dataclass(frozen=True)
class Draft:
    """A trial that is not stored yet.

    Attributes:
        point: Its hyperparameters.
        source: As in :class:`ecd_tune.records.Lease`.
        seed: Seed of the run.
        label: Unique key in its study, or None.
        attempt: 1 for the first time.
        history: Earlier attempts by cause.
    """

    point: StoredPoint
    source: str
    seed: int
    label: str | None = None
    attempt: int = 1
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
        connection: A write transaction with the study's lock.
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
    ids = insert_numbers(connection, study_id, first_number, len(drafts), running_on)
    stored = zip(ids, drafts, strict=True)
    write_rows(connection, *new_details(study_id, [*stored], running_on=running_on))
    return ids


def insert_numbers(
    connection: sa.Connection, study_id: int, first: int, count: int, running_on: str | None
) -> list[int]:
    """Insert trials with consecutive numbers into Optuna's ``trials``, and nothing else of them.

    Args:
        connection: A write transaction with the study's lock.
        study_id: Optuna's study id.
        first: The first number.
        count: How many; at least one.
        running_on: As for :func:`insert_trials`.

    Returns:
        Their trial ids, in order.
    """
    trials, running = optuna_tables.trials, running_on is not None
    common = {
        "study_id": study_id,
        "state": OptunaState.RUNNING if running else OptunaState.WAITING,
        "datetime_start": utc_now() if running else None,
    }
    rows = [{"number": number, **common} for number in range(first, first + count)]
    made = insert_returning(connection, trials, rows, (trials.c.number, trials.c.trial_id))
    return [row.trial_id for row in sorted(made, key=lambda row: row.number)]


def new_details(
    study_id: int, stored: Sequence[tuple[int, Draft]], *, running_on: str | None = None
) -> tuple[Change, ...]:
    """Return the changes that add everything else about trials in Optuna's ``trials``.

    Args:
        study_id: Optuna's study id.
        stored: Trial ids, and the values to store for them.
        running_on: As for :func:`insert_trials`.
    """
    common = {
        "study_id": study_id,
        "worker": running_on,
        "lost": False,
        "seconds": 0.0,
        "device": "",
    }
    seeds = [
        {"trial_id": trial_id, "key": "seed", "value_json": str(draft.seed)}
        for trial_id, draft in stored
    ]
    attributes = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for trial_id, draft in stored
        for key, value in draft.point.system_attrs.items()
    ]
    return (
        Change(tables.runs, [{**_run_row(*trial), **common} for trial in stored]),
        Change(optuna_tables.trial_params, _param_rows(stored)),
        Change(optuna_tables.trial_user_attributes, seeds),
        Change(optuna_tables.trial_system_attributes, attributes),
    )


def _run_row(trial_id: int, draft: Draft) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "label": draft.label,
        "seed": draft.seed,
        "source": draft.source,
        "attempt": draft.attempt,
        "params": dump(draft.point.params),
        "history": dump_counts(draft.history),
    }


def _param_rows(stored: Sequence[tuple[int, Draft]]) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(draft.point.params[name]),
            "distribution_json": optuna_tables.to_json(distribution),
        }
        for trial_id, draft in stored
        for name, distribution in draft.point.distributions.items()
    ]
