"""Read whole studies fast, for the dashboard.

Optuna's own storage builds every trial from objects of SQLAlchemy's mapper: ten thousand trials
take seconds. Here the same tables are read in bulk with Core, one statement a table.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from ecd_tune.store.db import optuna_tables
from ecd_tune.store.db.engine import Database
from ecd_tune.store.db.stored import StoredTrial, TrialPart, parse_params, read_trials
from ecd_tune.store.db.url import strip_password

__all__ = ["PARTS", "FastStorage", "freeze"]

PARTS = tuple(part for part in TrialPart if part not in (TrialPart.RUN, TrialPart.BARE_RUN))
"""All of Optuna's data of a trial."""


class FastStorage(RDBStorage):
    """Optuna's storage on a database that exists, reading trials in bulk.

    Args:
        url: As :meth:`ecd_tune.store.Store.open` takes it.

    Attributes:
        database: Its own connections; closed with the storage by :meth:`close`.

    Raises:
        StorageUrlError: The URL is not supported.
        StorageUnavailableError: The folder of an SQLite file does not exist.
    """

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        arguments = self.database.connect_arguments()
        # It neither creates nor alters a table, so that a role that may only read can open it.
        super().__init__(
            self.database.url.render_as_string(hide_password=False),
            engine_kwargs={"hide_parameters": True, "connect_args": arguments},
            skip_compatibility_check=True,
            skip_table_creation=True,
        )

    def __reduce__(self) -> tuple[Callable[[str], FastStorage], tuple[str]]:
        # Without the password: when the copy is opened, libpq looks it up (PGPASSWORD, pgpass).
        return FastStorage, (strip_password(self.database.url),)

    def close(self) -> None:
        """Close all connections."""
        self.remove_session()
        self.engine.dispose()
        self.database.close()

    def _get_trials(
        self,
        study_id: int,
        states: Container[OptunaState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return what Optuna's own method returns; the way in for all that reads trials."""
        self.get_study_name_from_id(study_id)  # raises KeyError when there is none
        with self.database.read() as connection:
            mine = optuna_tables.trials.c.study_id == study_id
            found = read_trials(connection, mine, PARTS)
        return [
            freeze(trial)
            for trial in found
            if (trial.id > trial_id_greater_than or trial.id in included_trial_ids)
            and (states is None or OptunaState[trial.state] in states)
        ]


def freeze(trial: StoredTrial) -> FrozenTrial:
    """Return a completely read trial in Optuna's form."""
    params, distributions = parse_params(trial)
    return FrozenTrial(
        trial_id=trial.id,
        number=trial.number,
        state=OptunaState[trial.state],
        value=None,
        values=trial.values or None,
        datetime_start=trial.started,
        datetime_complete=trial.completed,
        params=params,
        distributions=distributions,
        user_attrs={key: optuna_tables.load_attr(text) for key, text in trial.user_attrs},
        system_attrs={key: optuna_tables.load_attr(text) for key, text in trial.system_attrs},
        intermediate_values=dict(trial.points),
    )
