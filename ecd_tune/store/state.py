"""At which version a database's tables stand."""

from __future__ import annotations

from dataclasses import dataclass

from ecd_tune.errors import StorageUnavailableError
from ecd_tune.store._creation import stored_version
from ecd_tune.store._engine import Database
from ecd_tune.store.schema import HEAD

__all__ = ["SchemaState", "schema_state"]


@dataclass(frozen=True)
class SchemaState:
    """Versions of our tables.

    Attributes:
        storage: The database's URL, its password hidden.
        stored: Version in the database; None when it has no tables of ours.
        needed: Version that this ecd_tune needs.
    """

    storage: str
    stored: str | None
    needed: str

    @property
    def current(self) -> bool:
        """Whether nothing has to be done."""
        return self.stored == self.needed


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
            raise StorageUnavailableError(f"storage {database.shown}: the file does not exist")
        with database.read() as connection:
            return SchemaState(database.shown, stored_version(connection), HEAD)
    finally:
        database.close()
