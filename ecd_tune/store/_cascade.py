"""Write trials and all that hangs on them, in one statement where the database can.

What the store keeps of a trial stands in half a dozen tables. On PostgreSQL, a statement and a
round trip for each of them cost more than the work itself; there a cascade is a single statement,
a ``WITH`` whose first part, the head, names the trials and whose other parts follow it. Few rows
are its parameters; many travel as one JSON text for each part. SQLite, which has no round trips
and whose ``WITH`` cannot write, executes the same parts one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from ecd_tune.store._parts import Cells, Given, Part
from ecd_tune.store._statement import Answer, Call, Statement, together

__all__ = ["Cascade"]

_HEAD = "head"
_FEW = 24  # rows
_AT = "at"  # the cell that says where a row stood among those of its part


class Cascade:
    """A head that finds out the ids of trials, and the parts that write the rest about them.

    Args:
        head: Returns the key and ``trial_id`` of each of its rows.
        key: The column by which the rows of the other parts say to which trial they belong.
        parts: The other parts by name, in the order of execution. They have a cell ``trial_id``
            that their rows do not give.
        answer: The part whose returned columns are wanted; None when none is.
        gate: A question whose answer, of one row or none, decides: without a row nothing is
            written; ``room`` says for how many trials there is, and ``shift`` is added to their
            keys and to what follows from them.
        shifted: Cells that follow from the key; where there is a gate.
    """

    def __init__(
        self,
        head: Part,
        key: str,
        parts: Mapping[str, Part],
        answer: str | None = None,
        gate: sa.Select[Any] | None = None,
        shifted: Sequence[str] = (),
    ) -> None:
        self._head, self._key, self._parts, self._answer = head, key, parts, answer
        self._gate, self._shifted = gate, (key, *shifted)
        self._ask_gate = None if gate is None else Statement(gate)
        self._columns = {column.name: column for column in head.gives}
        self._combined: dict[tuple[tuple[str, int | None], ...], Statement] = {}

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
        with together(connection):
            answer = self.send(connection, heads, rows)
        return answer()

    def send(
        self,
        connection: sa.Connection,
        heads: Sequence[Given],
        rows: Mapping[str, Sequence[Given]],
        gate: Given | None = None,
    ) -> Answer:
        """Write everything; where there is a server, without waiting.

        Args:
            connection: In a block of ``together``.
            heads: As for :meth:`run`.
            rows: As for :meth:`run`.
            gate: Parameters of the gate, where there is one.

        Returns:
            What gives the answer of :meth:`run`.
        """
        present = {name: rows[name] for name in self._parts if rows.get(name)}
        if connection.dialect.name == "sqlite":
            found = self._run_apart(connection, heads, present, gate)
            return lambda: found
        return self._send_combined(connection, heads, present, gate or {})

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
        self,
        connection: sa.Connection,
        heads: Sequence[Given],
        rows: Mapping[str, Sequence[Given]],
        gate: Given | None,
    ) -> list[tuple[Any, ...]]:
        if self._ask_gate is not None and gate is not None:
            opened = self._ask_gate.send(connection, gate)()
            if not opened:
                return []
            ((shift, room),) = opened
            heads = self._shift(heads[:room], shift)
            rows = {name: self._shift(part, shift) for name, part in rows.items()}
        answers = [self._head.statement.send(connection, head)() for head in heads]
        ids = {key: trial_id for found in answers for key, trial_id in found}
        asked = self._answer if self._answer in rows else None
        for statement, given in self.follow(ids, {n: r for n, r in rows.items() if n != asked}):
            statement.send(connection, given)
        if asked is None:
            return list(ids.items())
        part, chosen = self._parts[asked].statement, self._choose(ids, rows[asked])
        return [
            (row[self._key], row["trial_id"], *columns)
            for row in chosen
            for columns in part.send(connection, row)()
        ]

    def _shift(self, rows: Sequence[Given], shift: int) -> list[Given]:
        return [
            {cell: value + shift if cell in self._shifted else value for cell, value in row.items()}
            for row in rows
        ]

    def _send_combined(
        self,
        connection: sa.Connection,
        heads: Sequence[Given],
        rows: Mapping[str, Sequence[Given]],
        gate: Given,
    ) -> Answer:
        given = {_HEAD: heads, **rows}
        few = sum(map(len, given.values())) <= _FEW
        # Few rows are listed in the statement, whose text then depends on how many they are.
        shape = tuple((name, len(part) if few else None) for name, part in given.items())
        statement = self._combined.get(shape)
        if statement is None:
            statement = self._combined[shape] = Statement(self._combine(dict(shape)))
        if few:
            values = {
                _cell(name, cell, at): value
                for name, part in given.items()
                for at, row in enumerate(part)
                for cell, value in row.items()
            }
        else:
            dialect = connection.dialect
            values = {name: _dump(part, self._part(name), dialect) for name, part in given.items()}
        return statement.send(connection, {**values, **gate})

    def _part(self, name: str) -> Part:
        return self._head if name == _HEAD else self._parts[name]

    def _cells(self, name: str) -> dict[str, TypeEngine[Any]]:
        """Return what the rows of a part bring along, and of which types it is."""
        if name == _HEAD:
            return dict(self._head.types)
        key = self._columns[self._key]
        types = self._parts[name].types.items()
        return {key.name: key.type, **{cell: kind for cell, kind in types if cell != "trial_id"}}

    def _combine(self, shape: Mapping[str, int | None]) -> sa.Select[Any]:
        sources = {
            name: _recordset(name, self._cells(name))
            if count is None
            else _listed(name, self._cells(name), count)
            for name, count in shape.items()
        }
        heads, key = sources.pop(_HEAD), self._columns[self._key]
        gate = None if self._gate is None else self._gate.cte("gate")
        room = () if gate is None else (heads.c[_AT] < gate.c.room,)
        head = self._head.joined(Cells(self._values(heads, gate), room, (heads.c[_AT],)))
        found = head.cte("found")
        query = sa.select(found.c[key.name], found.c.trial_id)
        for name, rows in sources.items():
            part, values = self._parts[name], self._values(rows, gate)
            match = found.c[key.name] == values[key.name]
            cells = Cells({**values, "trial_id": found.c.trial_id}, (match,), (rows.c[_AT],))
            if name == self._answer:
                table = part.gives[0].table
                answer = part.joined(cells, table.c.trial_id).cte(f"{name}_written")
                query = query.join(answer, answer.c.trial_id == found.c.trial_id).add_columns(
                    *(answer.c[column.name] for column in part.gives)
                )
            else:
                query = query.add_cte(part.joined(cells).cte(f"{name}_written"))
        return query

    def _values(self, rows: sa.FromClause, gate: sa.CTE | None) -> dict[str, sa.ColumnElement[Any]]:
        values: dict[str, sa.ColumnElement[Any]] = dict(rows.c)
        if gate is not None:
            values |= {
                cell: values[cell] + gate.c.shift for cell in self._shifted if cell in values
            }
        return values


def _listed(name: str, types: Mapping[str, TypeEngine[Any]], count: int) -> sa.FromClause:
    """Return rows that are parameters, one by one."""
    columns = [sa.column(cell, kind) for cell, kind in {**types, _AT: sa.Integer()}.items()]
    rows = [
        (
            *(
                sa.cast(sa.bindparam(_cell(name, cell, at), type_=kind), kind)
                for cell, kind in types.items()
            ),
            sa.literal_column(str(at), sa.Integer),
        )
        for at in range(count)
    ]
    return sa.values(*columns, name=f"{name}_rows").data(rows)


def _cell(name: str, cell: str, at: int) -> str:
    return f"{name}_{cell}_{at}"


def _recordset(name: str, types: Mapping[str, TypeEngine[Any]]) -> sa.FromClause:
    """Return rows that are one JSON text."""
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
