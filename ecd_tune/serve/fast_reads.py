"""Read whole studies fast, for the dashboard.

Optuna's own storage builds every trial from objects of SQLAlchemy's mapper: ten thousand trials
take seconds. Here the same tables are read in bulk with Core, one statement a table.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from ecd_tune.store.db import optuna_tables
from ecd_tune.store.db.engine import Database
from ecd_tune.store.db.stored import StoredTrial, TrialPart, parse_params, read_trials
from ecd_tune.store.db.url import strip_password

__all__ = ["FastStorage", "StudySummary", "open_fast_storage"]

_PARTS = (
    TrialPart.PARAMS,
    TrialPart.VALUES,
    TrialPart.USER_ATTRS,
    TrialPart.SYSTEM_ATTRS,
    TrialPart.POINTS,
)


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
    ) -> list[StoredTrial]:
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
            trials = optuna_tables.trials
            # Numbers have no gaps.
            wanted = (trials.c.study_id == study_id) & (trials.c.number >= start)
            return read_trials(connection, wanted, _PARTS, system_attrs)

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


def _summarize(connection: sa.Connection, study_id: int) -> StudySummary:
    trials, params = optuna_tables.trials, optuna_tables.trial_params
    attrs, steps = optuna_tables.trial_user_attributes, optuna_tables.intermediate_values
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


def _freeze(cells: StoredTrial) -> FrozenTrial:
    params, distributions = parse_params(cells)
    return FrozenTrial(
        trial_id=cells.id,
        number=cells.number,
        state=OptunaState[cells.state],
        value=None,
        values=cells.values or None,
        datetime_start=cells.started,
        datetime_complete=cells.completed,
        params=params,
        distributions=distributions,
        user_attrs={key: optuna_tables.load_attr(text) for key, text in cells.user_attrs},
        system_attrs={key: optuna_tables.load_attr(text) for key, text in cells.system_attrs},
        intermediate_values=dict(cells.points),
    )
