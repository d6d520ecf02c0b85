"""Write trials and all that hangs on them, in one statement where the database can.

What the store keeps of a trial stands in half a dozen tables. On PostgreSQL, a statement and a
round trip for each of them cost more than the work itself; there a cascade is a single statement,
a ``WITH`` whose first part, the head, names the trials and whose other parts follow it. The rows
of each part travel as one JSON text. SQLite, which has no round trips and whose ``WITH`` cannot
write, executes the same parts one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from ecd_tune.store._statement import Call, Statement, run_together

__all__ = ["Cascade", "Cells", "Part", "deletion", "insertion", "replacement", "update"]

Element = sa.Insert | sa.Update | sa.Delete
Given = Mapping[str, Any]
"""One row of a part, by name of the cell."""
_AT = "at"  # the cell that says where a row stood among those of its part


@dataclass(frozen=True)
class Cells:
    """Where a part finds its values: parameters, or the columns of rows that are joined to it.

    Attributes:
        by_name: Cell to its value.
        match: What joins the rows; empty for parameters.
        order: What the rows are sorted by, so that ids grow as they were given; likewise.
    """

    by_name: Mapping[str, sa.ColumnElement[Any]]
    match: tuple[sa.ColumnElement[bool], ...] = ()
    order: tuple[sa.ColumnElement[Any], ...] = ()

    def __getitem__(self, name: str) -> sa.ColumnElement[Any]:
        """Return the value of a cell."""
        return self.by_name[name]


class Part:
    """What is written into one table.

    Args:
        types: Cell to the type of its values. The parts behind the head also have ``trial_id``,
            which the head finds out.
        build: Cells to the statement.
        gives: Columns that it returns.
    """

    def __init__(
        self,
        types: Mapping[str, TypeEngine[Any]],
        build: Callable[[Cells], Element],
        gives: Sequence[sa.Column[Any]] = (),
    ) -> None:
        self.types, self._build, self.gives = types, build, tuple(gives)
        self._processors: dict[str, Mapping[str, Callable[[Any], Any]]] = {}
        self.statement = Statement(self._returning(self._build(_parameters(types)), self.gives))

    def joined(self, cells: Cells, *more: sa.Column[Any]) -> Element:
        """Build the statement that takes its values from rows.

        Args:
            cells: The columns of the rows.
            *more: Columns that it returns beside its own.

        Returns:
            The statement.
        """
        return self._returning(self._build(cells), (*more, *self.gives))

    def processors(self, dialect: Dialect) -> Mapping[str, Callable[[Any], Any]]:
        """Return what turns the values of some cells into what the driver takes.

        Args:
            dialect: Of the database.

        Returns:
            Cell to function.
        """
        known = self._processors.get(dialect.name)
        if known is None:
            known = self._processors[dialect.name] = {
                name: process
                for name, kind in self.types.items()
                if (process := kind.dialect_impl(dialect).bind_processor(dialect)) is not None
            }
        return known

    @staticmethod
    def _returning(element: Element, columns: Sequence[sa.Column[Any]]) -> Element:
        return element.returning(*columns) if columns else element


def insertion(
    table: sa.Table,
    *names: str,
    gives: Sequence[str] = (),
    extra: Mapping[str, TypeEngine[Any]] | None = None,
    **computed: Callable[[Cells], sa.ColumnElement[Any]],
) -> Part:
    """Describe the insertion of rows.

    Args:
        table: Where to.
        *names: Columns whose values a row gives under the same name.
        gives: Columns that are returned.
        extra: Cells that only the computed columns need.
        **computed: Column to how its value follows from the cells.

    Returns:
        The part.
    """

    def build(cells: Cells) -> sa.Insert:
        values = {name: cells[name] for name in names}
        values |= {name: compute(cells) for name, compute in computed.items()}
        rows = sa.select(*values.values()).where(*cells.match).order_by(*cells.order)
        return sa.insert(table).from_select(list(values), rows)

    types = {name: table.c[name].type for name in names} | dict(extra or {})
    return Part(types, build, [table.c[name] for name in gives])


def replacement(table: sa.Table, *names: str, unique: Sequence[str]) -> Part:
    """Describe the insertion of rows that replace those that are there.

    Args:
        table: Where to.
        *names: Columns whose values a row gives under the same name.
        unique: Those of them that no two rows may have in common.

    Returns:
        The part.
    """

    def build(cells: Cells) -> sa.Insert:
        # SQLite needs a WHERE to tell what ON belongs to.
        given = sa.select(*(cells[name] for name in names))
        rows = given.where(sa.true(), *cells.match).order_by(*cells.order)
        # This clause is spelled the same on both databases.
        insert = postgresql.insert(table).from_select(list(names), rows)
        new = {name: insert.excluded[name] for name in names if name not in unique}
        return insert.on_conflict_do_update(index_elements=list(unique), set_=new)

    return Part({name: table.c[name].type for name in names}, build)


def update(table: sa.Table, *names: str) -> Part:
    """Describe the update of a trial's row.

    Args:
        table: Whose; it has a column ``trial_id``.
        *names: Columns whose new values a row gives under the same name.

    Returns:
        The part.
    """

    def build(cells: Cells) -> sa.Update:
        values = {name: cells[name] for name in names}
        where = (table.c.trial_id == cells["trial_id"], *cells.match)
        return sa.update(table).where(*where).values(values)

    columns = ("trial_id", *names)
    return Part({name: table.c[name].type for name in columns}, build)


def deletion(
    table: sa.Table, *names: str, gives: Sequence[str], also: sa.ColumnElement[bool]
) -> Part:
    """Describe the deletion of rows.

    Args:
        table: From where.
        *names: Columns that a row gives to find those to be deleted.
        gives: Columns that are returned.
        also: What else must hold.

    Returns:
        The part.
    """

    def build(cells: Cells) -> sa.Delete:
        found = (table.c[name] == cells[name] for name in names)
        return sa.delete(table).where(*found, also, *cells.match)

    types = {name: table.c[name].type for name in names}
    return Part(types, build, [table.c[name] for name in gives])


class Cascade:
    """A head that finds out the ids of trials, and the parts that write the rest about them.

    Args:
        head: Returns the key and ``trial_id`` of each of its rows.
        key: The column by which the rows of the other parts say to which trial they belong.
        parts: The other parts by name, in the order of execution. They have a cell ``trial_id``
            that their rows do not give.
        answer: The part whose returned columns are wanted; None when none is.
    """

    def __init__(
        self, head: Part, key: str, parts: Mapping[str, Part], answer: str | None = None
    ) -> None:
        self._head, self._key, self._parts, self._answer = head, key, parts, answer
        self._columns = {column.name: column for column in head.gives}
        self._combined: dict[tuple[str, ...], Statement] = {}

    def run(
        self, connection: sa.Connection, heads: Sequence[Given], rows: Mapping[str, Sequence[Given]]
    ) -> list[tuple[Any, ...]]:
        """Write everything.

        Args:
            connection: Its transaction has begun.
            heads: Rows of the head.
            rows: Part to its rows, each with the key beside its cells; those whose key the head
                did not return are left out. A part without rows is not executed.

        Returns:
            For each trial that the head found its key, its id, and the columns of the answer
            where that part has rows; in any order.
        """
        present = {name: rows[name] for name in self._parts if rows.get(name)}
        if connection.dialect.name == "sqlite":
            return self._run_apart(connection, heads, present)
        return self._run_combined(connection, heads, present)

    def follow(self, ids: Mapping[Any, int], rows: Mapping[str, Sequence[Given]]) -> list[Call]:
        """Return the statements of the parts alone, for trials whose ids are known.

        Args:
            ids: Key to trial id.
            rows: As for :meth:`run`.

        Returns:
            The calls, to be run with others.
        """
        return [
            (self._parts[name].statement, chosen)
            for name in self._parts
            if (chosen := self._choose(ids, rows.get(name, ())))
        ]

    def _choose(self, ids: Mapping[Any, int], rows: Sequence[Given]) -> list[Given]:
        return [{**row, "trial_id": ids[row[self._key]]} for row in rows if row[self._key] in ids]

    def _run_apart(
        self, connection: sa.Connection, heads: Sequence[Given], rows: Mapping[str, Sequence[Given]]
    ) -> list[tuple[Any, ...]]:
        answers = run_together(connection, [(self._head.statement, head) for head in heads])
        ids = {key: trial_id for found in answers for key, trial_id in found}
        asked = self._answer if self._answer in rows else None
        run_together(connection, self.follow(ids, {n: r for n, r in rows.items() if n != asked}))
        if asked is None:
            return list(ids.items())
        part, chosen = self._parts[asked].statement, self._choose(ids, rows[asked])
        given = run_together(connection, [(part, row) for row in chosen])
        return [
            (row[self._key], row["trial_id"], *columns)
            for row, (columns,) in zip(chosen, given, strict=True)
        ]

    def _run_combined(
        self, connection: sa.Connection, heads: Sequence[Given], rows: Mapping[str, Sequence[Given]]
    ) -> list[tuple[Any, ...]]:
        names = tuple(rows)
        statement = self._combined.get(names)
        if statement is None:
            statement = self._combined[names] = Statement(self._combine(names))
        dialect = connection.dialect
        texts = {name: _dump(rows[name], self._parts[name], dialect) for name in names}
        return statement.run(connection, head=_dump(heads, self._head, dialect), **texts)

    def _combine(self, names: Sequence[str]) -> sa.Select[Any]:
        key = self._columns[self._key]
        heads = _recordset("head", self._head.types)
        head = self._head.joined(Cells(dict(heads.c), (), (heads.c[_AT],))).cte("found")
        query = sa.select(head.c[key.name], head.c.trial_id)
        for name in names:
            part = self._parts[name]
            given = {cell: kind for cell, kind in part.types.items() if cell != "trial_id"}
            rows = _recordset(name, {key.name: key.type, **given})
            match = head.c[key.name] == rows.c[key.name]
            values = {**dict(rows.c), "trial_id": head.c.trial_id}
            cells = Cells(values, (match,), (rows.c[_AT],))
            if name == self._answer:
                table = part.gives[0].table
                answer = part.joined(cells, table.c.trial_id).cte(f"{name}_written")
                query = query.join(answer, answer.c.trial_id == head.c.trial_id).add_columns(
                    *(answer.c[column.name] for column in part.gives)
                )
            else:
                query = query.add_cte(part.joined(cells).cte(f"{name}_written"))
        return query


def _parameters(types: Mapping[str, TypeEngine[Any]]) -> Cells:
    return Cells({name: sa.bindparam(name, type_=kind) for name, kind in types.items()})


def _recordset(name: str, types: Mapping[str, TypeEngine[Any]]) -> sa.TableValuedAlias:
    text = sa.cast(sa.bindparam(name, type_=sa.Text()), postgresql.JSON)
    columns = [sa.column(cell, kind) for cell, kind in {**types, _AT: sa.Integer()}.items()]
    rows = sa.func.json_to_recordset(text).table_valued(*columns, name=f"{name}_rows")
    return rows.render_derived(with_types=True)


def _dump(rows: Sequence[Given], part: Part, dialect: Dialect) -> str:
    processors = part.processors(dialect)
    plain = [
        {name: processors[name](value) if name in processors else value for name, value in row}
        for row in (row.items() for row in rows)
    ]
    for at, row in enumerate(plain):
        row[_AT] = at
    return json.dumps(plain, default=datetime.isoformat, allow_nan=False)
