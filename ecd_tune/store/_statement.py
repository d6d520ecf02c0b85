"""Statements that are compiled once and run on the driver's own cursor.

SQLAlchemy spends about 0.1 ms of processor time on every execution, ten times what SQLite needs
for the statement itself. The dozen statements that every trial costs are therefore built with
SQLAlchemy Core once, and then handed to the driver as text and values, on the connection and in
the transaction that SQLAlchemy opened. Everything that is rare goes on as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

__all__ = ["Call", "Statement", "run_text", "run_together"]

_Process = Callable[[Any], Any]


@dataclass(frozen=True)
class _Compiled:
    text: str
    names: tuple[str, ...] | None  # of the values by position; None when they go by name
    fixed: Mapping[str, Any]  # values that the statement brings along
    processors: Mapping[str, _Process]  # of the values that the driver does not take as they are
    readers: tuple[tuple[int, _Process], ...]  # of the columns that it does not give as they are
    gives_rows: bool

    def bind(self, given: Mapping[str, Any]) -> Any:
        values = {**self.fixed, **given}
        for name, process in self.processors.items():
            values[name] = process(values[name])
        return values if self.names is None else [values[name] for name in self.names]

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
            No ``IN`` list: its text depends on its length.
    """

    def __init__(self, element: sa.Select[Any] | sa.Insert | sa.Update | sa.Delete) -> None:
        self._element = element
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: sa.Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Execute it in the connection's transaction.

        Args:
            connection: Its transaction has begun.
            **values: By name of the parameter.

        Returns:
            The rows; empty for a statement that gives none.
        """
        return run_together(connection, [(self, values)])[0]

    def compile(self, dialect: Dialect) -> _Compiled:
        """Return the text for a kind of database and how its values go in and out."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _compile(self._element, dialect)
        return compiled


Call = tuple[Statement, Mapping[str, Any] | Sequence[Mapping[str, Any]]]
"""A statement and its values, or those of several executions, whose rows nobody asks for."""


def run_together(connection: sa.Connection, calls: Sequence[Call]) -> list[list[tuple[Any, ...]]]:
    """Execute statements one after the other, without waiting for answers in between.

    On PostgreSQL they travel together (pipeline mode), so that they cost one round trip.

    Args:
        connection: Its transaction has begun.
        calls: Statements and their values.

    Returns:
        The rows of each statement.
    """
    dialect = connection.dialect
    driver: Any = connection.connection.driver_connection
    ready = [(statement.compile(dialect), values) for statement, values in calls]
    with _raised_as_sqlalchemy_does(connection, driver):
        if dialect.name == "sqlite" or len(ready) < 2:
            return [
                _fetch(compiled, _execute(driver, compiled, given)) for compiled, given in ready
            ]
        with driver.pipeline():
            cursors = [_execute(driver, compiled, given) for compiled, given in ready]
            return [_fetch(ready[at][0], cursor) for at, cursor in enumerate(cursors)]


def run_text(connection: sa.Connection, text: str) -> None:
    """Execute statements without parameters, in one round trip.

    Args:
        connection: Its transaction need not have begun.
        text: The statements, ``;`` between them.

    Raises:
        DBAPIError: As SQLAlchemy raises it.
    """
    driver: Any = connection.connection.driver_connection
    # Several statements in one text can be sent, but not be prepared.
    options = {} if connection.dialect.name == "sqlite" else {"prepare": False}
    with _raised_as_sqlalchemy_does(connection, driver):
        driver.execute(text, **options)


def _execute(
    driver: Any, compiled: _Compiled, given: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> Any:
    if isinstance(given, Mapping):
        return driver.execute(compiled.text, compiled.bind(given))
    cursor = driver.cursor()
    cursor.executemany(compiled.text, [compiled.bind(values) for values in given])
    return cursor


def _fetch(compiled: _Compiled, cursor: Any) -> list[tuple[Any, ...]]:
    return compiled.read(cursor.fetchall()) if compiled.gives_rows else []


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
    compiled = element.compile(dialect=dialect)
    binds = {name: bind for bind, name in compiled.bind_names.items()}
    fixed = {name: bind.value for name, bind in binds.items() if not bind.required}
    processors = {
        name: process
        for name, bind in binds.items()
        if (process := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
    }
    columns = list(element.exported_columns)  # of a RETURNING, unless it is a SELECT
    readers = tuple(
        (position, process)
        for position, column in enumerate(columns)
        # Both drivers give floats as they are; SQLAlchemy would want to see the answer first.
        if not isinstance(column.type, sa.Numeric | sa.Float)
        and (process := column.type.dialect_impl(dialect).result_processor(dialect, None))
    )
    positional = compiled.positiontup
    names = None if positional is None else tuple(positional)
    return _Compiled(compiled.string, names, fixed, processors, readers, bool(columns))
