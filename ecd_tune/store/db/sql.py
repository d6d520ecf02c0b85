"""Differences between the SQL of PostgreSQL and SQLite, except how a transaction begins.

Many rows are written by one statement on PostgreSQL, which takes each column as one array
(``INSERT … SELECT … FROM unnest(…)``), and by ``executemany`` on SQLite, which has no arrays and
no round trips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["insert_rows", "now", "replace_rows", "update_rows"]

Row = Mapping[str, Any]
"""Column to value; all rows of one call have the same columns."""


class now(FunctionElement[float]):
    """The database's own clock, in seconds since 1970: the one that all workers share."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(EXTRACT(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


def insert_rows(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Row],
    *,
    common: Row | None = None,
    computed: sa.ColumnElement[Any] | None = None,
    returning: tuple[sa.Column[Any], ...] = (),
) -> Sequence[sa.Row[Any]]:
    """Insert rows; generated ids grow in their order.

    Args:
        connection: A write transaction.
        table: Target table.
        rows: The rows.
        common: Values that all rows have in common; of other columns.
        computed: Value of the column of its name (``label``), of parameters in ``common``.
        returning: Columns wanted of the new rows.

    Returns:
        Those columns, a row each, in any order.
    """
    if not rows:
        return []
    if connection.dialect.name == "sqlite":
        insert = _insert_sqlite(table, computed, returning)
        given: Any = [{**row, **(common or {})} for row in rows]
    else:
        insert = _insert_postgresql(table, tuple(rows[0]), tuple(common or ()), computed, returning)
        given = {**_columns(table, rows), **(common or {})}
    result = connection.execute(insert, given)
    return result.all() if returning else []


def replace_rows(
    connection: sa.Connection, table: sa.Table, unique: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """Insert rows, in the place of those that are there.

    Args:
        connection: A write transaction.
        table: Target table.
        unique: Columns that no two rows may have in common.
        rows: The rows; no two of them with the same unique columns.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "sqlite":
        connection.execute(_replace_sqlite(table, names, unique), rows)
    else:
        connection.execute(_replace_postgresql(table, names, unique), _columns(table, rows))


def update_rows(connection: sa.Connection, table: sa.Table, key: str, rows: Sequence[Row]) -> None:
    """Give rows that are there new values.

    Args:
        connection: A write transaction.
        table: The table.
        key: The column by which each row finds the one that it changes.
        rows: The rows: the key and the new values.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "sqlite":
        connection.execute(_update_sqlite(table, key, names), [_renamed(row) for row in rows])
    else:
        connection.execute(_update_postgresql(table, key, names), _columns(table, rows))


@lru_cache
def _insert_sqlite(
    table: sa.Table,
    computed: sa.ColumnElement[Any] | None,
    returning: tuple[sa.Column[Any], ...],
) -> Any:
    insert = sa.insert(table)
    if computed is not None:
        insert = insert.values({_name(computed): computed})
    return insert.returning(*returning) if returning else insert


@lru_cache
def _insert_postgresql(
    table: sa.Table,
    names: tuple[str, ...],
    common: tuple[str, ...],
    computed: sa.ColumnElement[Any] | None,
    returning: tuple[sa.Column[Any], ...],
) -> Any:
    values: dict[str, Any] = dict(_unnest(table, names).c)
    values |= {
        name: sa.bindparam(name, type_=table.c[name].type) for name in common if name in table.c
    }
    if computed is not None:
        values[_name(computed)] = computed
    insert = sa.insert(table).from_select(list(values), sa.select(*values.values()))
    return insert.returning(*returning) if returning else insert


@lru_cache
def _replace_sqlite(table: sa.Table, names: tuple[str, ...], unique: tuple[str, ...]) -> Any:
    insert = sqlite.insert(table)
    new = {name: insert.excluded[name] for name in names if name not in unique}
    return insert.on_conflict_do_update(index_elements=unique, set_=new)


@lru_cache
def _replace_postgresql(table: sa.Table, names: tuple[str, ...], unique: tuple[str, ...]) -> Any:
    rows = sa.select(*_unnest(table, names).c)
    insert = postgresql.insert(table).from_select(list(names), rows)
    new = {name: insert.excluded[name] for name in names if name not in unique}
    return insert.on_conflict_do_update(index_elements=unique, set_=new)


@lru_cache
def _update_sqlite(table: sa.Table, key: str, names: tuple[str, ...]) -> Any:
    given = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    new = {name: given[name] for name in names if name != key}
    return sa.update(table).where(table.c[key] == given[key]).values(new)


@lru_cache
def _update_postgresql(table: sa.Table, key: str, names: tuple[str, ...]) -> Any:
    rows = _unnest(table, names)
    new = {name: rows.c[name] for name in names if name != key}
    return sa.update(table).where(table.c[key] == rows.c[key]).values(new)


def _unnest(table: sa.Table, names: tuple[str, ...]) -> sa.TableValuedAlias:
    # Parameters are not named as the columns, which SQLAlchemy would take for values to be set.
    arrays = [
        sa.bindparam(f"new_{name}", type_=postgresql.ARRAY(table.c[name].type)) for name in names
    ]
    columns = [sa.column(name, table.c[name].type) for name in names]
    return sa.func.unnest(*arrays).table_valued(*columns, name="given").render_derived()


def _columns(table: sa.Table, rows: Sequence[Row]) -> dict[str, list[Any]]:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name, values in columns.items():
        if isinstance(table.c[name].type, sa.Float):  # psycopg takes no list of mixed numbers
            columns[name] = [None if value is None else float(value) for value in values]
    return {f"new_{name}": values for name, values in columns.items()}


def _renamed(row: Row) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in row.items()}


def _name(computed: sa.ColumnElement[Any]) -> str:
    return str(computed.name)
