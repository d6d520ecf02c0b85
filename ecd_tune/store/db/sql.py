"""Differences between the SQL of PostgreSQL and SQLite, except how a transaction begins.

On PostgreSQL the rows of several tables are written by one statement, which takes those of each
table as one JSON array (``INSERT … SELECT … FROM json_to_recordset(…)``). It is sent without
waiting for an answer. SQLite, where a statement takes no round trip, uses ``executemany``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from ecd_tune.store.db.pipeline import UNREAD

__all__ = ["Change", "new_trial_ids", "now", "write_rows"]

Row = Mapping[str, Any]
"""Column to value; all rows of one change have the same columns."""


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


class new_trial_ids(FunctionElement[Any]):
    """Ids for a number of new trials, larger than all before: a list, or on SQLite the first."""

    inherit_cache = True


@compiles(new_trial_ids, "sqlite")
def _new_trial_ids_sqlite(element: new_trial_ids, compiler: SQLCompiler, **options: Any) -> str:
    # The transaction has locked the whole file.
    return "(SELECT coalesce(max(trial_id), 0) + 1 FROM trials)"


@compiles(new_trial_ids, "postgresql")
def _new_trial_ids_postgresql(element: new_trial_ids, compiler: SQLCompiler, **options: Any) -> str:
    series = f"generate_series(1, {compiler.process(element.clauses, **options)})"
    return f"ARRAY(SELECT nextval(pg_get_serial_sequence('trials', 'trial_id')) FROM {series})"


class _Form(NamedTuple):
    """A change without its values: what its statement depends on."""

    table: sa.Table
    names: tuple[str, ...]
    unique: tuple[str, ...]
    kept: tuple[str, ...]
    key: str | None
    from_now: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """Rows to be written to one table: inserted, or updated where ``key`` is given.

    Attributes:
        table: The table.
        rows: The rows. Generated ids grow in their order.
        unique: Columns that no two rows may have in common: a row that exists is replaced. Empty:
            it is an error.
        kept: Columns of a replaced row that keep their values.
        key: The column by which each row finds the one that it updates.
        from_now: Columns whose values are given in seconds from now, by the database's clock.
    """

    table: sa.Table
    rows: Sequence[Row]
    unique: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    key: str | None = None
    from_now: tuple[str, ...] = ()

    def form(self) -> _Form:
        """Return what the statement depends on."""
        names = tuple(self.rows[0])
        return _Form(self.table, names, self.unique, self.kept, self.key, self.from_now)


def write_rows(connection: sa.Connection, *changes: Change) -> None:
    """Write rows to different tables; an error may be raised by a later statement or the commit.

    Args:
        connection: A write transaction.
        changes: One per table at most; those without rows are skipped.
    """
    given = [change for change in changes if change.rows]
    if not given:
        return
    forms = tuple(change.form() for change in given)
    if connection.dialect.name == "sqlite":
        for form, change in zip(forms, given, strict=True):
            rows = [{f"new_{name}": row[name] for name in form.names} for row in change.rows]
            connection.execute(_write_sqlite(form), rows)
    else:
        values: dict[str, Any] = {}
        for i, change in enumerate(given):
            values[f"rows_{i}"] = _dump(change.table, change.rows)
            if change.key is not None:
                values[f"count_{i}"] = len(change.rows)
        connection.execute(_write_postgresql(forms), values, execution_options=UNREAD)


@lru_cache
def _write_sqlite(form: _Form) -> Any:
    table, key = form.table, form.key
    given = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in form.names}
    values = {name: now() + v if name in form.from_now else v for name, v in given.items()}
    if key is not None:
        return sa.update(table).where(table.c[key] == values.pop(key)).values(values)
    return _replacing(sqlite.insert(table).values(values), form)


@lru_cache
def _write_postgresql(forms: tuple[_Form, ...]) -> Any:
    *others, last = (_change_postgresql(form, index) for index, form in enumerate(forms))
    return last.add_cte(*(other.cte(f"change_{index}") for index, other in enumerate(others)))


def _change_postgresql(form: _Form, index: int) -> Any:
    table, key = form.table, form.key
    columns = [sa.column(name, table.c[name].type) for name in form.names]
    rows = sa.cast(sa.bindparam(f"rows_{index}", type_=sa.Text), postgresql.JSON)
    records = sa.func.json_to_recordset(rows).table_valued(*columns, name=f"given_{index}")
    given: sa.FromClause = records.render_derived(with_types=True)
    if key is not None:
        # The planner takes it for a hundred rows otherwise, and reads the whole table to join them.
        count = sa.bindparam(f"count_{index}", type_=sa.Integer)
        given = sa.select(*given.c).limit(count).subquery(f"rows_{index}")
    values: dict[str, Any] = {
        name: now() + given.c[name] if name in form.from_now else given.c[name]
        for name in form.names
    }
    if key is not None:
        return sa.update(table).where(table.c[key] == values.pop(key)).values(values)
    insert = postgresql.insert(table).from_select(form.names, sa.select(*values.values()))
    return _replacing(insert, form)


def _replacing(insert: Any, form: _Form) -> Any:
    if not form.unique:
        return insert
    new = [name for name in form.names if name not in form.unique + form.kept]
    return insert.on_conflict_do_update(
        index_elements=form.unique, set_={name: insert.excluded[name] for name in new}
    )


def _dump(table: sa.Table, rows: Sequence[Row]) -> str:
    forms = _plain_forms(table, tuple(rows[0]))
    plain = [{**row, **{name: form(row[name]) for name, form in forms.items()}} for row in rows]
    return json.dumps(plain, separators=(",", ":"), allow_nan=False)


@lru_cache
def _plain_forms(table: sa.Table, names: tuple[str, ...]) -> dict[str, Callable[[Any], Any]]:
    """Return, for those columns whose values are not JSON's own, what makes them so."""
    kinds = ((sa.Enum, _to_name), (sa.DateTime, _to_text), (sa.Float, _to_number))
    types = {name: table.c[name].type for name in names}
    found = ((n, form) for n, own in types.items() for kind, form in kinds if isinstance(own, kind))
    return dict(found)


def _to_name(value: Enum | None) -> str | None:
    return None if value is None else value.name


def _to_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _to_number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
