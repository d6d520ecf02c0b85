"""Statements that are compiled once and run on the driver's own cursor.

SQLAlchemy spends about 0.1 ms of processor time on every execution, ten times what SQLite needs
for the statement itself. The dozen statements that every trial costs are therefore built with
SQLAlchemy Core once, and then handed to the driver as text and values, on the connection and in
the transaction that SQLAlchemy opened. Everything that is rare goes on as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from ecd_tune.store._pipeline import Pipeline

__all__ = ["Answer", "Call", "Statement", "run_together", "together"]

_Process = Callable[[Any], Any]
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Answer = Callable[[], list[tuple[Any, ...]]]
_PREPARED, _PIPELINE = "ecd_tune_prepared", "ecd_tune_pipeline"


@dataclass(frozen=True)
class _Compiled:
    text: str
    names: tuple[str, ...]  # of the values, by position
    fixed: Mapping[str, Any]  # values that the statement brings along
    processors: Mapping[str, _Process]  # of the values that the driver does not take as they are
    readers: tuple[tuple[int, _Process], ...]  # of the columns that it does not give as they are

    def bind(self, given: Mapping[str, Any]) -> list[Any]:
        values = {**self.fixed, **given}
        for name, process in self.processors.items():
            values[name] = process(values[name])
        return [values[name] for name in self.names]

    def read(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        if not self.readers:
            return rows
        return [self._read_row(list(row)) for row in rows]

    def _read_row(self, cells: list[Any]) -> tuple[Any, ...]:
        for position, process in self.readers:
            cells[position] = process(cells[position])
        return tuple(cells)


class Statement:
    """A statement whose text is made once for each kind of database.

    Args:
        element: What SQLAlchemy Core builds; every value in it is a ``bindparam`` with a name.
            Text gives no rows. No ``IN`` list: its text depends on its length.
    """

    def __init__(
        self, element: sa.Select[Any] | sa.Insert | sa.Update | sa.Delete | sa.TextClause
    ) -> None:
        self._element = element
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: sa.Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Execute it in the connection's transaction, and wait for the answer.

        Args:
            connection: Its transaction has begun. Not in a block of :func:`together`.
            **values: By name of the parameter.

        Returns:
            The rows; empty for a statement that gives none.
        """
        return run_together(connection, [(self, values)])[0]

    def send(self, connection: sa.Connection, values: Values) -> Answer:
        """Execute it in a block of :func:`together`; where there is a server, without waiting.

        Args:
            connection: Its transaction has begun.
            values: By name of the parameter; or those of several executions, whose rows nobody
                asks for.

        Returns:
            What gives the rows, and waits for them where they are not there yet. It may be
            called after the block too.
        """
        compiled = self.compile(connection.dialect)
        pipeline: Pipeline | None = connection.info[_PIPELINE]
        if pipeline is None:
            driver: Any = connection.connection.driver_connection
            # It commits nothing while a statement still has rows to give.
            rows = compiled.read(_execute(driver, compiled, values))
            return lambda: rows
        answers = _send(pipeline, compiled, values)
        return lambda: compiled.read([row for rows in answers for row in rows()])

    def compile(self, dialect: Dialect) -> _Compiled:
        """Return the text for a kind of database and how its values go in and out."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _compile(self._element, dialect)
        return compiled


Call = tuple[Statement, Values]
"""A statement and what it is executed with."""


@contextmanager
def together(connection: sa.Connection) -> Iterator[None]:
    """Let the statements that are sent in a block travel without waiting for each other.

    On PostgreSQL those up to an answer that is waited for cost one round trip, and so does the
    end of the block. SQLAlchemy's own executions need their answers at once and cannot be made
    in the block.

    Args:
        connection: The connection.

    Yields:
        Nothing.

    Raises:
        DBAPIError: Of the first statement that failed whose answer nobody has asked for.
    """
    driver: Any = connection.connection.driver_connection
    info = connection.info  # belongs to the driver's connection, however often it is opened
    with (
        _raised_as_sqlalchemy_does(connection, driver),
        _open_pipeline(connection.dialect, driver, info) as info[_PIPELINE],
    ):
        try:
            yield
        finally:
            del info[_PIPELINE]


def _open_pipeline(
    dialect: Dialect, driver: Any, info: dict[Any, Any]
) -> AbstractContextManager[Pipeline | None]:
    """Open what PostgreSQL's statements travel in; None for SQLite, which is not away."""
    if dialect.name == "sqlite":
        return nullcontext()
    from ecd_tune.store._pipeline import Pipeline

    return Pipeline.open(driver, info.setdefault(_PREPARED, {}))


def run_together(connection: sa.Connection, calls: Sequence[Call]) -> list[list[tuple[Any, ...]]]:
    """Execute statements that need nothing of each other, in one round trip.

    Args:
        connection: Its transaction has begun. Not in a block of :func:`together`.
        calls: Statements and their values.

    Returns:
        The rows of each statement.
    """
    if not calls:
        return []
    with together(connection):
        answers = [statement.send(connection, values) for statement, values in calls]
    return [answer() for answer in answers]


def _send(
    pipeline: Pipeline, compiled: _Compiled, given: Values
) -> list[Callable[[], list[tuple[Any, ...]]]]:
    several = [given] if isinstance(given, Mapping) else given
    return [pipeline.send(compiled.text, compiled.bind(values)) for values in several]


def _execute(driver: Any, compiled: _Compiled, given: Values) -> list[tuple[Any, ...]]:
    if isinstance(given, Mapping):
        return list(driver.execute(compiled.text, compiled.bind(given)).fetchall())
    driver.cursor().executemany(compiled.text, [compiled.bind(values) for values in given])
    return []


@contextmanager
def _raised_as_sqlalchemy_does(connection: sa.Connection, driver: Any) -> Iterator[None]:
    dialect = connection.dialect
    dbapi: Any = dialect.loaded_dbapi
    try:
        yield
    except dbapi.Error as error:
        gone = dialect.is_disconnect(error, driver, None)
        if gone:
            connection.invalidate(error)
        raise DBAPIError.instance(None, None, error, dbapi.Error, True, gone, dialect) from error


def _compile(element: Any, dialect: Dialect) -> _Compiled:
    numbered = {} if dialect.name == "sqlite" else {"paramstyle": "numeric_dollar"}
    compiled = element.compile(dialect=type(dialect)(**numbered))
    binds = {name: bind for bind, name in compiled.bind_names.items()}
    fixed = {name: bind.value for name, bind in binds.items() if not bind.required}
    processors = {
        name: process
        for name, bind in binds.items()
        if (process := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
    }
    # Of a RETURNING, unless it is a SELECT; plain text has none.
    columns = [] if isinstance(element, sa.TextClause) else element.exported_columns
    readers = tuple(
        (position, process)
        for position, column in enumerate(columns)
        # Both drivers give floats as they are; SQLAlchemy would want to see the answer first.
        if not isinstance(column.type, sa.Numeric | sa.Float)
        and (process := column.type.dialect_impl(dialect).result_processor(dialect, None))
    )
    names = tuple(compiled.positiontup)
    return _Compiled(compiled.string, names, fixed, processors, readers)
