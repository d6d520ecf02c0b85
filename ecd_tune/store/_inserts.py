"""Insert new trials into both schemas."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Params, StudyKey
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store import schema
from ecd_tune.store._cascade import Cascade
from ecd_tune.store._cells import dump, utc_now
from ecd_tune.store._leases import LEASE, Grant
from ecd_tune.store._parts import insertion
from ecd_tune.store._rows import build_gate
from ecd_tune.store._statement import run_together
from ecd_tune.store.retries import History, dump_counts

__all__ = ["Draft", "Opening", "insert_details", "insert_trials", "send_leased"]


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
    numbered = list(enumerate(drafts, first_number))
    heads = [_head_row(study_id, number, running_on is not None) for number, _ in numbered]
    found = _NEW.run(connection, heads, _detail_rows(study_id, numbered, running_on))
    return [trial_id for _, trial_id in sorted(found)]


@dataclass(frozen=True)
class Opening:
    """Where new trials may be made that were drawn before the study was locked.

    Attributes:
        study_id: Optuna's study id.
        key: Names of the study, which may have been deleted meanwhile.
        fingerprint: Of the study file that it was made from.
        target: How many trials are wanted.
        first: Number of the first trial, as it was drawn.
        anywhere: True when other numbers will do: then seeds are moved with them.
    """

    study_id: int
    key: StudyKey
    fingerprint: str
    target: int
    first: int
    anywhere: bool

    def values(self) -> dict[str, Any]:
        """Return the parameters of :func:`ecd_tune.store._rows.build_gate`."""
        return {
            "study": self.study_id,
            "name": self.key.study,
            "optimizer": self.key.optimizer,
            "stage": self.key.stage.value,
            "fingerprint": self.fingerprint,
            "target": self.target,
            "first": self.first,
            "anywhere": int(self.anywhere),
        }


def send_leased(
    connection: sa.Connection, opening: Opening, drafts: Sequence[Draft], grant: Grant
) -> Callable[[], list[tuple[int, int, int]]]:
    """Insert those new trials that there is room for, running from now on, and lease them.

    Args:
        connection: A write transaction that holds the study's lock, in a block of ``together``.
        opening: Where they may be made.
        drafts: The trials, with consecutive numbers and seeds.
        grant: Who gets them; its worker's row is there.

    Returns:
        What gives number, trial id and token of each, in order, and waits for them where they
        are not there yet. None of them where the opening is closed.
    """
    study_id = opening.study_id
    numbered = list(enumerate(drafts, opening.first))
    heads = [_head_row(study_id, number, running=True) for number, _ in numbered]
    details = _detail_rows(study_id, numbered, grant.worker.name)
    lease = grant.row(study_id)
    details["lease"] = [{**lease, "number": number} for number, _ in numbered]
    answer = _NEXT.send(connection, heads, details, opening.values())
    return lambda: sorted(answer())


def insert_details(connection: sa.Connection, study_id: int, trial_id: int, draft: Draft) -> None:
    """Insert everything about a waiting trial that is in Optuna's ``trials`` already.

    Args:
        connection: A write transaction that holds the study's lock.
        study_id: Optuna's study id.
        trial_id: The trial.
        draft: What is to be stored for it.
    """
    rows = _detail_rows(study_id, [(0, draft)], None)
    run_together(connection, _NEW.follow({0: trial_id}, rows))


def _head_row(study_id: int, number: int, running: bool) -> dict[str, Any]:
    return {
        "study_id": study_id,
        "number": number,
        "state": OptunaState.RUNNING if running else OptunaState.WAITING,
        "datetime_start": utc_now() if running else None,
    }


def _detail_rows(
    study_id: int, numbered: Sequence[tuple[int, Draft]], worker: str | None
) -> dict[str, list[dict[str, Any]]]:
    return {
        "run": [_run_row(study_id, number, draft, worker) for number, draft in numbered],
        "param": [row for number, draft in numbered for row in _param_rows(number, draft)],
        "seed": [
            {"number": number, "key": "seed", "seed": draft.seed} for number, draft in numbered
        ],
        "note": [
            {"number": number, "key": key, "value_json": json.dumps(value)}
            for number, draft in numbered
            for key, value in draft.system_attrs.items()
        ],
    }


def _run_row(study_id: int, number: int, draft: Draft, worker: str | None) -> dict[str, Any]:
    return {
        "number": number,
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


def _param_rows(number: int, draft: Draft) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "param_name": name,
            "param_value": distribution.to_internal_repr(draft.params[name]),
            "distribution_json": optuna_schema.to_json(distribution),
        }
        for name, distribution in draft.distributions.items()
    ]


_ATTR = ("trial_id", "key", "value_json")
_HEAD = insertion(
    optuna_schema.trials,
    *("study_id", "number", "state", "datetime_start"),
    gives=("number", "trial_id"),
)
_DETAILS = {
    "run": insertion(
        schema.runs,
        *("trial_id", "study_id", "label", "seed", "source", "attempt", "lost", "params"),
        *("seconds", "device", "worker", "history"),
    ),
    "param": insertion(
        optuna_schema.trial_params,
        *("trial_id", "param_name", "param_value", "distribution_json"),
    ),
    "seed": insertion(
        optuna_schema.trial_user_attributes,
        *("trial_id", "key"),
        extra={"seed": sa.BigInteger()},
        value_json=lambda cells: sa.cast(cells["seed"], sa.Text),
    ),
    "note": insertion(optuna_schema.trial_system_attributes, *_ATTR),
    "lease": LEASE,
}
_NEW = Cascade(_HEAD, "number", _DETAILS)
# A search trial's seed grows with its number.
_NEXT = Cascade(_HEAD, "number", _DETAILS, answer="lease", gate=build_gate(), shifted=("seed",))
