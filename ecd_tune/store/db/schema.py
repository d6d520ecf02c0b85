"""The schema and its version: Optuna's tables made by Optuna, ours by Alembic."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ecd_tune.errors import StorageUnavailableError, StoreError
from ecd_tune.store.db.engine import Database
from ecd_tune.store.db.tables import HEAD, VERSION_TABLE

__all__ = ["SchemaState", "prepare_schema", "schema_state"]

_ABSENT = (
    "storage {}: the file does not exist; `ecd-tune run` creates it, --storage or ECD_TUNE_STORAGE "
    "names another one"
)
_MIGRATIONS = Path(__file__).with_name("migrations")


@dataclass(frozen=True)
class SchemaState:
    """Versions of our tables.

    Attributes:
        storage: The database's URL, without its password.
        stored: Version in the database; None if our tables do not exist.
        needed: Version that this ecd_tune needs.
    """

    storage: str
    stored: str | None
    needed: str

    @property
    def current(self) -> bool:
        """Whether the database has the schema that this ecd_tune needs."""
        return self.stored == self.needed

    @property
    def words(self) -> str:
        """The versions, in words."""
        if self.current:
            return f"schema version {self.needed}, current"
        if self.stored is None:
            return f"schema not created; version {self.needed} is required"
        return f"schema version {self.stored}; version {self.needed} is required"


def schema_state(url: str) -> SchemaState:
    """Look at a database and change nothing.

    Args:
        url: As for :meth:`ecd_tune.store.Store.open`.

    Returns:
        The versions.

    Raises:
        StorageUnavailableError: The file does not exist, or the database does not answer.
    """
    database = Database(url)
    try:
        if database.is_sqlite and not database.file.exists():
            raise StorageUnavailableError(_ABSENT.format(database.shown))
        with database.read() as connection:
            return SchemaState(database.shown, _stored_version(connection), HEAD)
    finally:
        database.close()


def prepare_schema(database: Database, *, create: bool) -> None:
    """Make sure that both schemas are there, even if another process does so at the same moment.

    Args:
        database: The database.
        create: Make or migrate them where needed; otherwise nothing is changed.

    Raises:
        StorageUnavailableError: The file does not exist, or the database does not answer.
        StoreError: The schema is missing or older and ``create`` is False, or it is newer than
            this version of ecd_tune.
    """
    if database.is_sqlite and not create and not database.file.exists():
        raise StorageUnavailableError(_ABSENT.format(database.shown))
    version = _read_version(database)
    if version == HEAD:
        return
    if not create:
        words = SchemaState(database.shown, version, HEAD).words
        raise StoreError(f"storage {database.shown}: {words}; run `ecd-tune db upgrade`")
    with database.creation_lock():
        if _read_version(database) != HEAD:
            database.prepare()
            _create_optuna_schema(database)
            _migrate(database)


def _stored_version(connection: sa.Connection) -> str | None:
    """Return the migration of our tables, or None if they do not exist."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    version = sa.table(VERSION_TABLE, sa.column("version_num", sa.String))
    return connection.execute(sa.select(version.c.version_num)).scalar()


def _read_version(database: Database) -> str | None:
    with database.read() as connection:
        version = _stored_version(connection)
    if version is not None and version > HEAD:
        raise StoreError(
            f"storage {database.shown}: its schema version {version} is newer than that of this "
            f"ecd_tune ({HEAD}); update ecd_tune"
        )
    return version


def _create_optuna_schema(database: Database) -> None:
    from optuna.storages import RDBStorage

    url = database.url.render_as_string(hide_password=False)
    options = {"connect_args": database.connect_arguments()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = RDBStorage(url, engine_kwargs=options)
    except SQLAlchemyError as error:
        told = database.explain(getattr(error, "orig", None) or error)
        raise StorageUnavailableError(f"{told} (while creating Optuna's tables)") from error
    except RuntimeError as error:
        # Optuna's message says which version created the tables, and how to upgrade.
        raise StoreError(f"storage {database.shown}: {error}") from error
    storage.scoped_session.remove()
    storage.engine.dispose()


def _migrate(database: Database) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
