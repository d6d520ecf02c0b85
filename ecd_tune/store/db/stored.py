"""The only reader of trials: the rows of selected trials, one statement per table.

Records, samplers, pruners and the dashboard each want other parts of a trial in another form;
they make it from a :class:`StoredTrial`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution

from ecd_tune.records import Scalar
from ecd_tune.store.db import optuna_tables, tables

__all__ = ["StoredTrial", "TrialPart", "fill_trials", "parse_params", "read_trials"]


class TrialPart(Enum):
    """A part of a trial that is read only on request; each is in its own table."""

    PARAMS = "params"
    VALUES = "values"
    USER_ATTRS = "user_attrs"
    SYSTEM_ATTRS = "system_attrs"
    POINTS = "points"
    RUN = "run"
    BARE_RUN = "bare_run"
    """The run without its curves, which are most of the data."""


@dataclass(slots=True)
class StoredTrial:
    """One trial as it is stored.

    Attributes:
        id: Optuna's trial id.
        number: Its number.
        state: Name of its state.
        started: UTC without a zone.
        completed: UTC without a zone.
        params: Name, internal value and distribution as JSON, in the order of suggestion.
        values: Objective values.
        user_attrs: Key and value as JSON.
        system_attrs: Key and value as JSON.
        points: Step and value of the curve that pruners see: Optuna's intermediate values.
        run: Its row in ``ecd_runs``; None where plain Optuna made the trial.
    """

    id: int
    number: int
    state: str
    started: datetime | None
    completed: datetime | None
    params: list[tuple[str, float, str]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    user_attrs: list[tuple[str, str]] = field(default_factory=list)
    system_attrs: list[tuple[str, str]] = field(default_factory=list)
    points: list[tuple[int, float]] = field(default_factory=list)
    run: sa.Row[Any] | None = None


def read_trials(
    connection: sa.Connection,
    condition: sa.ColumnElement[bool],
    parts: Collection[TrialPart] = (),
    system_attrs: Iterable[str] | None = None,
) -> list[StoredTrial]:
    """Read trials.

    Args:
        connection: A transaction.
        condition: Which, in terms of Optuna's table ``trials``.
        parts: The parts to read, in addition to number, state and times.
        system_attrs: Patterns of the keys wanted (``LIKE``); None for all.

    Returns:
        The trials, in the order of their ids.
    """
    table = optuna_tables.trials
    columns = (
        table.c.trial_id,
        table.c.number,
        sa.cast(table.c.state, sa.String),  # the name, without an object for each
        table.c.datetime_start,
        table.c.datetime_complete,
    )
    rows = connection.execute(sa.select(*columns).where(condition).order_by(table.c.trial_id))
    found = {row[0]: StoredTrial(*row) for row in rows}
    fill_trials(connection, found, condition, parts, system_attrs)
    return list(found.values())


def fill_trials(
    connection: sa.Connection,
    found: Mapping[int, StoredTrial],
    condition: sa.ColumnElement[bool],
    parts: Collection[TrialPart],
    system_attrs: Iterable[str] | None = None,
) -> None:
    """Read parts of trials.

    Args:
        connection: A transaction.
        found: Trial id to the trial, filled in place.
        condition: Chooses them, in terms of Optuna's table ``trials``; others are passed over.
        parts: The selection.
        system_attrs: As for :func:`read_trials`.
    """
    trials = optuna_tables.trials
    for part in parts if found else ():
        table, columns, order = _SOURCES[part]
        statement = (
            sa.select(table.c.trial_id, *columns)
            .join(trials, trials.c.trial_id == table.c.trial_id)
            .where(condition)
            .order_by(table.c.trial_id, *order)
        )
        if part is TrialPart.SYSTEM_ATTRS and system_attrs is not None:
            statement = statement.where(sa.or_(*(table.c.key.like(p) for p in system_attrs)))
        everything = connection.execute(statement).all()
        for trial_id, rows in groupby(everything, key=itemgetter(0)):
            if trial_id in found:
                _set_part(found[trial_id], part, rows)


def parse_params(trial: StoredTrial) -> tuple[dict[str, Scalar], dict[str, BaseDistribution]]:
    """Return a trial's parameters as its objective sees them, and their distributions."""
    distributions = {name: optuna_tables.parse_distribution(text) for name, _, text in trial.params}
    params = {name: distributions[name].to_external_repr(value) for name, value, _ in trial.params}
    return params, distributions


def _set_part(trial: StoredTrial, part: TrialPart, rows: Iterable[Any]) -> None:
    if part in (TrialPart.RUN, TrialPart.BARE_RUN):
        (trial.run,) = rows
    elif part is TrialPart.VALUES:
        trial.values = [optuna_tables.to_value(row[1], row[2]) for row in rows]
    elif part is TrialPart.POINTS:
        trial.points = [(row[1], optuna_tables.to_intermediate(row[2], row[3])) for row in rows]
    else:
        setattr(trial, part.value, [tuple(row[1:]) for row in rows])


def _source(
    table: sa.Table, names: Iterable[str], *order: str
) -> tuple[sa.Table, tuple[sa.Column[Any], ...], tuple[sa.Column[Any], ...]]:
    return table, tuple(table.c[name] for name in names), tuple(table.c[name] for name in order)


_RUN_COLUMNS = [column.name for column in tables.runs.c if column.name != "trial_id"]
_SOURCES = {
    TrialPart.PARAMS: _source(
        optuna_tables.trial_params, ("param_name", "param_value", "distribution_json"), "param_id"
    ),
    TrialPart.VALUES: _source(optuna_tables.trial_values, ("value", "value_type"), "objective"),
    TrialPart.USER_ATTRS: _source(
        optuna_tables.trial_user_attributes, ("key", "value_json"), "key"
    ),
    TrialPart.SYSTEM_ATTRS: _source(
        optuna_tables.trial_system_attributes, ("key", "value_json"), "trial_system_attribute_id"
    ),
    TrialPart.POINTS: _source(
        optuna_tables.intermediate_values,
        ("step", "intermediate_value", "intermediate_value_type"),
        "step",
    ),
    TrialPart.RUN: _source(tables.runs, _RUN_COLUMNS),
    TrialPart.BARE_RUN: _source(tables.runs, [n for n in _RUN_COLUMNS if n != "curves"]),
}
