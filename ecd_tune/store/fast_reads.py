"""Read whole studies fast, for the dashboard.

Optuna's own storage builds every trial from objects of SQLAlchemy's mapper: ten thousand trials
take seconds. Here the same tables are read in bulk with Core, one statement a table.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store._engine import Database
from ecd_tune.store.url import strip_password

__all__ = ["FastStorage", "StudySummary", "TrialCells", "open_fast_storage", "parse_distribution"]

parse_distribution = optuna_schema.parse_distribution


@dataclass
class TrialCells:
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
        intermediate_values: Step and value.
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
    intermediate_values: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class StudySummary:
    """What all trials of a study have in common.

    Attributes:
        trials: Their number, failed ones left out.
        distributions: Parameter name, distribution as JSON, and in how many of these trials.
        user_attrs: Key to whether all of its values are numbers (over all trials).
        has_intermediate_values: Whether one of these trials has any.
    """

    trials: int
    distributions: list[tuple[str, str, int]]
    user_attrs: dict[str, bool]
    has_intermediate_values: bool


class FastStorage(RDBStorage):
    """Optuna's storage on a database that exists, reading trials in bulk.

    Args:
        database: The database; closed with the storage by :meth:`close`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # It neither creates nor alters a table, so that a role that may only read can open it.
        super().__init__(
            database.url.render_as_string(hide_password=False),
            engine_kwargs={
                "hide_parameters": True,
                "connect_args": database.connect_arguments(),
            },
            skip_compatibility_check=True,
            skip_table_creation=True,
        )

    def __reduce__(self) -> tuple[Callable[[str], FastStorage], tuple[str]]:
        # Without the password: where the copy is opened, libpq looks for it (PGPASSWORD, pgpass).
        return open_fast_storage, (strip_password(self._database.url),)

    def close(self) -> None:
        """Close all connections."""
        self.remove_session()
        self.engine.dispose()
        self._database.close()

    def cells(
        self, study_id: int, start: int = 0, system_attrs: Iterable[str] | None = None
    ) -> list[TrialCells]:
        """Read trials as they are stored, in the order of their ids.

        Args:
            study_id: Optuna's study id.
            start: How many trials to leave out at the beginning.
            system_attrs: Patterns of the keys wanted (``LIKE``); None for all.

        Returns:
            The trials.

        Raises:
            StorageUnavailableError: The database does not answer.
        """
        with self._database.read() as connection:
            return _read_cells(connection, study_id, start, system_attrs)

    def summarize(self, study_id: int) -> StudySummary:
        """Read what all trials of a study have in common.

        Args:
            study_id: Optuna's study id.

        Returns:
            The summary.

        Raises:
            StorageUnavailableError: The database does not answer.
        """
        with self._database.read() as connection:
            return _summarize(connection, study_id)

    def _get_trials(
        self,
        study_id: int,
        states: Container[OptunaState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return what Optuna's own method returns; the way in for all that reads trials."""
        self.get_study_name_from_id(study_id)  # raises KeyError when there is none
        return [
            _freeze(cells)
            for cells in self.cells(study_id)
            if (cells.id > trial_id_greater_than or cells.id in included_trial_ids)
            and (states is None or OptunaState[cells.state] in states)
        ]


def open_fast_storage(url: str) -> FastStorage:
    """Open Optuna's storage on a prepared database, reading trials in bulk.

    Args:
        url: As :meth:`ecd_tune.store.Store.open` takes it.

    Returns:
        The storage.

    Raises:
        StorageUrlError: The URL is not supported.
        StorageUnavailableError: The folder of an SQLite file does not exist.
    """
    return FastStorage(Database(url))


def _read_cells(
    connection: sa.Connection, study_id: int, start: int, patterns: Iterable[str] | None
) -> list[TrialCells]:
    table = optuna_schema.trials
    rows = connection.execute(
        sa.select(
            table.c.trial_id,
            table.c.number,
            sa.cast(table.c.state, sa.String),
            table.c.datetime_start,
            table.c.datetime_complete,
        )
        .where(table.c.study_id == study_id)
        .order_by(table.c.trial_id)
        .offset(start)
    ).all()
    found = {row[0]: TrialCells(*row) for row in rows}
    if found:
        _add_parts(connection, found, study_id, min(found), patterns)
    return list(found.values())


def _add_parts(
    connection: sa.Connection,
    found: dict[int, TrialCells],
    study_id: int,
    first: int,
    patterns: Iterable[str] | None,
) -> None:
    read = _PartReader(connection, found, study_id, first)
    table = optuna_schema.trial_params
    columns = [table.c.param_name, table.c.param_value, table.c.distribution_json]
    for cells, rows in read(table, columns, table.c.param_id):
        cells.params = [(row[1], row[2], row[3]) for row in rows]
    table = optuna_schema.trial_values
    columns = [table.c.value, table.c.value_type]
    for cells, rows in read(table, columns, table.c.objective):
        cells.values = [optuna_schema.to_value(row[1], row[2]) for row in rows]
    table = optuna_schema.trial_user_attributes
    columns = [table.c.key, table.c.value_json]
    for cells, rows in read(table, columns, table.c.key):
        cells.user_attrs = [(row[1], row[2]) for row in rows]
    table = optuna_schema.trial_system_attributes
    columns = [table.c.key, table.c.value_json]
    wanted = None if patterns is None else sa.or_(*(table.c.key.like(p) for p in patterns))
    for cells, rows in read(table, columns, table.c.key, wanted):
        cells.system_attrs = [(row[1], row[2]) for row in rows]
    table = optuna_schema.intermediate_values
    columns = [table.c.step, table.c.intermediate_value, table.c.intermediate_value_type]
    for cells, rows in read(table, columns, table.c.step):
        cells.intermediate_values = [
            (row[1], optuna_schema.to_intermediate(row[2], row[3])) for row in rows
        ]


@dataclass(frozen=True)
class _PartReader:
    connection: sa.Connection
    found: dict[int, TrialCells]
    study_id: int
    first: int

    def __call__(
        self,
        table: sa.Table,
        columns: list[sa.Column[Any]],
        order: sa.Column[Any],
        condition: sa.ColumnElement[bool] | None = None,
    ) -> Iterator[tuple[TrialCells, Iterator[Any]]]:
        """Read one table's rows of the trials found, grouped by trial.

        Yields:
            A trial and its rows: trial id, then the columns.
        """
        trials = optuna_schema.trials
        statement = (
            sa.select(table.c.trial_id, *columns)
            .join(trials, trials.c.trial_id == table.c.trial_id)
            .where(trials.c.study_id == self.study_id, table.c.trial_id >= self.first)
            .order_by(table.c.trial_id, order)
        )
        if condition is not None:
            statement = statement.where(condition)
        everything = self.connection.execute(statement).all()
        for key, rows in groupby(everything, key=itemgetter(0)):
            # On PostgreSQL a later statement may see trials that the first one did not.
            if key in self.found:
                yield self.found[key], rows


def _summarize(connection: sa.Connection, study_id: int) -> StudySummary:
    trials, params = optuna_schema.trials, optuna_schema.trial_params
    attrs, steps = optuna_schema.trial_user_attributes, optuna_schema.intermediate_values
    own = trials.c.study_id == study_id
    kept = sa.and_(own, trials.c.state != OptunaState.FAIL)
    count = connection.execute(sa.select(sa.func.count()).select_from(trials).where(kept)).scalar()
    distributions = connection.execute(
        sa.select(params.c.param_name, params.c.distribution_json, sa.func.count())
        .join(trials, trials.c.trial_id == params.c.trial_id)
        .where(kept)
        .group_by(params.c.param_name, params.c.distribution_json)
        .order_by(sa.func.min(params.c.param_id))
    ).all()
    # The first character tells a number from everything else that JSON knows.
    head = sa.func.substr(attrs.c.value_json, 1, 1)
    heads = connection.execute(
        sa.select(attrs.c.key, head)
        .join(trials, trials.c.trial_id == attrs.c.trial_id)
        .where(own)
        .group_by(attrs.c.key, head)
        .order_by(attrs.c.key)
    ).all()
    any_step = connection.execute(
        sa.select(steps.c.trial_id)
        .join(trials, trials.c.trial_id == steps.c.trial_id)
        .where(kept)
        .limit(1)
    ).first()
    sortable: dict[str, bool] = {}
    for key, first in heads:
        sortable[key] = sortable.get(key, True) and first in "-0123456789IN"
    return StudySummary(
        count or 0, [tuple(row) for row in distributions], sortable, any_step is not None
    )


def _freeze(cells: TrialCells) -> FrozenTrial:
    parsed: list[tuple[str, float, BaseDistribution]] = [
        (name, value, parse_distribution(text)) for name, value, text in cells.params
    ]
    return FrozenTrial(
        trial_id=cells.id,
        number=cells.number,
        state=OptunaState[cells.state],
        value=None,
        values=cells.values or None,
        datetime_start=cells.started,
        datetime_complete=cells.completed,
        params={name: how.to_external_repr(value) for name, value, how in parsed},
        distributions={name: how for name, _, how in parsed},
        user_attrs={key: optuna_schema.load_attr(text) for key, text in cells.user_attrs},
        system_attrs={key: optuna_schema.load_attr(text) for key, text in cells.system_attrs},
        intermediate_values=dict(cells.intermediate_values),
    )
