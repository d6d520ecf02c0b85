"""Queue trials whose hyperparameters are known: confirmation runs, the points of a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Cause, Params
from ecd_tune.space import Space
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.cells import utc_now
from ecd_tune.store.db.sql import write_rows
from ecd_tune.store.sampling.points import StoredPoint, distributions_of
from ecd_tune.store.studies import StudyRef, lock_studies
from ecd_tune.store.trials.counts import count_trials
from ecd_tune.store.trials.insert import Draft, insert_trials, new_details

__all__ = [
    "QueueItem",
    "fail_external_trial",
    "find_external_trials",
    "queue_grid",
    "queue_items",
    "queued_values",
    "store_external_trial",
    "adopt_external_trials",
]


@dataclass(frozen=True)
class QueueItem:
    """A trial to be queued.

    Attributes:
        label: Unique in its study: a label is never queued twice.
        params: All hyperparameters; values may be outside the search space.
        seed: Seed of the run.
        source: Where the hyperparameters are from, for example ``best`` or ``paper``.
        space: The values that the sampler uses: those inside the space. None: it sees each value as
            one that could be no other.
    """

    label: str
    params: Params
    seed: int
    source: str = "queue"
    space: Space | None = None


def queue_items(connection: sa.Connection, ref: StudyRef, items: Sequence[QueueItem]) -> int:
    """Queue items whose labels are new.

    Args:
        connection: A write transaction.
        ref: The study.
        items: The items to queue, in this order.

    Returns:
        How many were new.
    """
    lock_studies(connection, [ref.id])
    known = _known_labels(connection, ref.id)
    unique = {item.label: item for item in items if item.label not in known}
    drafts = [_draft(item, _point(item)) for item in unique.values()]
    counts = count_trials(connection, ref.id, new=len(drafts))
    insert_trials(connection, ref.id, drafts, counts)
    return len(drafts)


def queue_grid(
    connection: sa.Connection,
    ref: StudyRef,
    space: Space,
    count: int,
    seed_of: Callable[[int], int],
) -> int:
    """Queue the first points of a grid that were not queued yet, in the grid's order.

    Args:
        connection: A write transaction.
        ref: The study.
        space: A space of choices.
        count: How many points of the grid are wanted.
        seed_of: Trial number to seed.

    Returns:
        How many were new.
    """
    lock_studies(connection, [ref.id])
    known = _known_labels(connection, ref.id)
    points = {f"grid:{i}": point for i, point in zip(range(count), space.grid(), strict=False)}
    fresh = [(label, point) for label, point in points.items() if label not in known]
    counts = count_trials(connection, ref.id, new=len(fresh))
    drafts = [
        _draft(
            QueueItem(label, point, seed_of(number), "grid"),
            StoredPoint(point, distributions_of(space, point)),
        )
        for number, (label, point) in enumerate(fresh, counts.next_number)
    ]
    insert_trials(connection, ref.id, drafts, counts)
    return len(drafts)


def adopt_external_trials(connection: sa.Connection, ref: StudyRef) -> int:
    """Make trials claimable that were queued through plain Optuna with all that they need.

    Their seed is their number, because none was given.

    Args:
        connection: A write transaction with the study's lock.
        ref: The study.

    Returns:
        How many there were.
    """
    rows = find_external_trials(connection, ref.id)
    for row in rows:
        point = _single_point(queued_values(connection, row.trial_id))
        store_external_trial(connection, ref.id, row.trial_id, point, row.number)
    return len(rows)


def find_external_trials(connection: sa.Connection, study_id: int) -> Sequence[Any]:
    """Return id and number of the waiting trials that the store did not make."""
    trials, runs = optuna_tables.trials, tables.runs
    return connection.execute(
        sa.select(trials.c.trial_id, trials.c.number)
        .outerjoin(runs, runs.c.trial_id == trials.c.trial_id)
        .where(
            trials.c.study_id == study_id,
            trials.c.state == OptunaState.WAITING,
            runs.c.trial_id.is_(None),
        )
        .order_by(trials.c.number)
    ).all()


def queued_values(connection: sa.Connection, trial_id: int) -> Params:
    """Return what was queued through plain Optuna: ``fixed_params``, and stored parameters."""
    params, attributes = optuna_tables.trial_params, optuna_tables.trial_system_attributes
    text = connection.execute(
        sa.select(attributes.c.value_json).where(
            attributes.c.trial_id == trial_id, attributes.c.key == "fixed_params"
        )
    ).scalar()
    values = dict(optuna_tables.load_attr(text)) if text else {}
    for row in connection.execute(sa.select(params).where(params.c.trial_id == trial_id)):
        distribution = optuna_tables.parse_distribution(row.distribution_json)
        values[row.param_name] = distribution.to_external_repr(row.param_value)
    return values


def store_external_trial(
    connection: sa.Connection,
    study_id: int,
    trial_id: int,
    point: StoredPoint,
    seed: int,
) -> None:
    """Give a trial that plain Optuna queued the rows of one that the store queued.

    Args:
        connection: A write transaction with the study's lock.
        study_id: Optuna's study id.
        trial_id: The trial.
        point: All its hyperparameters.
        seed: Seed of the run.
    """
    table = optuna_tables.trial_params
    connection.execute(sa.delete(table).where(table.c.trial_id == trial_id))
    attributes = optuna_tables.trial_user_attributes
    given = (attributes.c.trial_id == trial_id, attributes.c.key.in_(["seed", "reason"]))
    connection.execute(sa.delete(attributes).where(*given))
    draft = Draft(point, "queue", seed)
    write_rows(connection, *new_details(study_id, [(trial_id, draft)]))


def fail_external_trial(
    connection: sa.Connection, study_id: int, trial_id: int, seed: int, reason: str
) -> None:
    """End a trial that was queued through plain Optuna with values that cannot be run.

    Args:
        connection: A write transaction with the study's lock.
        study_id: Optuna's study id.
        trial_id: The trial.
        seed: Seed that the run would have had.
        reason: Why, in words.
    """
    trials, runs = optuna_tables.trials, tables.runs
    store_external_trial(connection, study_id, trial_id, StoredPoint({}, {}), seed)
    failed = {"state": OptunaState.FAIL, "datetime_complete": utc_now()}
    connection.execute(sa.update(trials).where(trials.c.trial_id == trial_id).values(failed))
    connection.execute(
        sa.update(runs)
        .where(runs.c.trial_id == trial_id)
        .values(reason=reason, cause=Cause.EXCEPTION.value)
    )
    row = {"trial_id": trial_id, "key": "reason", "value_json": optuna_tables.dump_attr(reason)}
    connection.execute(sa.insert(optuna_tables.trial_user_attributes).values(row))


def _draft(item: QueueItem, point: StoredPoint) -> Draft:
    return Draft(point, item.source, item.seed, label=item.label)


def _point(item: QueueItem) -> StoredPoint:
    if item.space is None:
        return _single_point(item.params)
    dimensions = item.space.dimensions
    inside = {k: v for k, v in item.params.items() if k in dimensions and dimensions[k].contains(v)}
    return StoredPoint(item.params, distributions_of(item.space, inside))


def _single_point(params: Params) -> StoredPoint:
    """Return a point whose distributions have a single value each."""
    single = optuna_tables.single_distribution
    return StoredPoint(params, {name: single(value) for name, value in params.items()})


def _known_labels(connection: sa.Connection, study_id: int) -> set[str]:
    runs = tables.runs
    statement = sa.select(runs.c.label).where(
        runs.c.study_id == study_id, runs.c.label.is_not(None)
    )
    return set(connection.execute(statement).scalars())
