"""What a cascade writes into one table, whether its values are parameters or joined rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from ecd_tune.store._statement import Statement

__all__ = ["Cells", "Given", "Part", "deletion", "insertion", "replacement", "update"]

Element = sa.Insert | sa.Update | sa.Delete
Given = Mapping[str, Any]
"""One row of a part, by name of the cell."""


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


def _parameters(types: Mapping[str, TypeEngine[Any]]) -> Cells:
    return Cells({name: sa.bindparam(name, type_=kind) for name, kind in types.items()})
