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
from ecd_tune.store.db.sql import Change, write_rows
from ecd_tune.store.sampling.points import StoredPoint
from ecd_tune.store.trials.counts import TrialCounts
from ecd_tune.store.trials.retries import History, dump_counts

__all__ = ["Draft", "insert_trials", "new_details", "new_trials"]


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
    drafts: Sequence[Draft],
    counts: TrialCounts,
    *,
    running_on: str | None = None,
) -> list[int]:
    """Insert trials with consecutive numbers.

    Args:
        connection: A write transaction with the study's lock.
        study_id: Optuna's study id.
        drafts: The trials.
        counts: Under the lock, with at least as many ids.
        running_on: ``host:pid`` of the worker that runs them from now on; None leaves them
            waiting.

    Returns:
        Their trial ids, in order.
    """
    changes = new_trials(study_id, drafts, counts, running_on=running_on)
    write_rows(connection, *changes)
    return list(counts.ids[: len(drafts)])


def new_trials(
    study_id: int, drafts: Sequence[Draft], counts: TrialCounts, *, running_on: str | None = None
) -> tuple[Change, ...]:
    """Return the changes that insert trials; arguments as for :func:`insert_trials`."""
    running = running_on is not None
    common = {
        "study_id": study_id,
        "state": OptunaState.RUNNING if running else OptunaState.WAITING,
        "datetime_start": utc_now() if running else None,
    }
    stored = [*zip(counts.ids, drafts, strict=False)]
    rows = [
        {"trial_id": trial_id, "number": number, **common}
        for number, (trial_id, _) in enumerate(stored, counts.next_number)
    ]
    trials = Change(optuna_tables.trials, rows)
    return trials, *new_details(study_id, stored, running_on=running_on)


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
