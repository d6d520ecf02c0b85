"""What can be read from the shared store, and its connections."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import sqlalchemy as sa

from ecd_tune.errors import StoreError
from ecd_tune.records import StudyKey, TrialRecord
from ecd_tune.spec import CheckSpec
from ecd_tune.store._declared import read_declared
from ecd_tune.store._engine import Database
from ecd_tune.store._outage import Stop
from ecd_tune.store._studies import find_study, list_studies, to_ref
from ecd_tune.store.progress import Progress, read_progress
from ecd_tune.store.read import Event, WorkerRecord, read_events, read_trials, read_workers

__all__ = ["StoreReader"]

_T = TypeVar("_T")


class StoreReader:
    """Reads studies, trials, workers and events; waits for a database that is away.

    :class:`ecd_tune.store.Store`, which opens it, adds all that changes something.

    Args:
        database: The database, its schema prepared.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._patience = database, database.patience

    @property
    def url(self) -> str:
        """The URL, its password hidden."""
        return self._database.shown

    def heed(self, stop: Stop) -> None:
        """Let a call that waits for the database end soon when the process is told to stop.

        Args:
            stop: Polled while waiting.
        """
        self._patience.stop = stop

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> NoReturn:
        # Its connections belong to this process, and the URL may hold a password.
        raise StoreError("a Store cannot be pickled; open one in the other process by its URL")

    def studies(self) -> list[str]:
        """Return the names of all studies, sorted."""
        return self._read(list_studies)

    def identity(self, key: StudyKey) -> dict[str, Any]:
        """Return what a study was made from, as :meth:`StudySpec.identity` gave it.

        Args:
            key: The study.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        identity = self._read(lambda connection: find_study(connection, key).identity)
        return dict(json.loads(identity))

    def declared(self, key: StudyKey) -> tuple[CheckSpec, ...]:
        """Return the checks that a search declared before its first trial.

        Args:
            key: The search of one optimizer.

        Returns:
            The checks, each naming the optimizer.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        return self._read(
            lambda connection: read_declared(connection, to_ref(find_study(connection, key)).id)
        )

    def trials(self, key: StudyKey, *, curves: bool = True) -> list[TrialRecord]:
        """Read all trials of one study, lost attempts included.

        Args:
            key: The study.
            curves: Read the curves too.

        Returns:
            Records by number.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        return self._read(
            lambda connection: read_trials(
                connection, to_ref(find_study(connection, key)), curves=curves
            )
        )

    def progress(self, study: str) -> list[Progress]:
        """Count the trials of a study; quick enough for a live display.

        Args:
            study: Name of the study.

        Returns:
            One entry per optimizer and stage; none for an unknown study.
        """
        return self._read(lambda connection: read_progress(connection, study))

    def workers(self) -> list[WorkerRecord]:
        """Return all workers, the one seen last first."""
        return self._read(read_workers)

    def events(self, study: str) -> list[Event]:
        """Return what happened to a study, oldest first.

        Args:
            study: Name of the study.
        """
        return self._read(lambda connection: read_events(connection, study))

    def _read(self, look: Callable[[sa.Connection], _T]) -> _T:
        def call(again: bool) -> _T:
            with self._database.read() as connection:
                return look(connection)

        return self._patience.persist(call)
