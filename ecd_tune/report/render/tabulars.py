"""Layout of tables for a line of a paper: wide ones in smaller type, lines and blocks."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ecd_tune.report.words.layout import Table

__all__ = ["SMALL_GAP", "Tabular", "set_tabulars"]

_LINE = 345.0
"""Points in a line of LaTeX's article class, the narrowest of the standard ones."""
_DIGIT, _GAP = 5.0, 12.0
"""Points of a digit, and between columns, at normal size."""
_SMALL_DIGIT, SMALL_GAP = 4.25, 8.0
"""The same at the size of footnotes, where columns are set closer."""
_CELL = 18
"""Characters of a line of a cell in a wide table: an interval."""
_POWER = re.compile(r"\de[-+]\d")
_NARROW, _WIDE = " \N{NO-BREAK SPACE}.,:;[]()il|", "mw%↑↓∞"
_WHOLE = re.compile(r"\[[^\]]*\]|\([^)]{,8}\)|\d %")
"""What is not broken: intervals, short remarks and percentages."""

_Cells = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Tabular:
    """A table, or some columns of one, that fits in a line.

    Attributes:
        columns: ``l`` or ``r`` for each.
        rows: Cells; several lines of one are separated by newlines.
        heads: How many of these rows are above the rule.
        bold: Row and column of emphasised cells.
        small: Whether it is set in smaller type with closer columns.
    """

    columns: str
    rows: _Cells
    heads: int
    bold: frozenset[tuple[int, int]]
    small: bool = False

    def widths(self) -> list[float]:
        """Return the estimated width of each column in points, with its share of the gaps."""
        digit, gap = (_SMALL_DIGIT, SMALL_GAP) if self.small else (_DIGIT, _GAP)
        return [
            max(
                digit * _digits(line) * (1.15 if (i, j) in self.bold else 1.0)
                for i, cell in enumerate(cells)
                for line in cell.split("\n")
            )
            + gap
            for j, cells in enumerate(zip(*self.rows, strict=True))
        ]

    def take(self, chosen: Sequence[int]) -> Tabular:
        """Return some of its columns.

        Args:
            chosen: Their numbers, in order.
        """
        return Tabular(
            "".join(self.columns[j] for j in chosen),
            tuple(tuple(row[j] for j in chosen) for row in self.rows),
            self.heads,
            frozenset((i, chosen.index(j)) for i, j in self.bold if j in chosen),
            self.small,
        )


def set_tabulars(table: Table) -> list[Tabular]:
    """Lay a table out so that it fits in a line.

    A table that is too wide is set in smaller type, its cells in several lines. If it is still too
    wide its columns are divided, after it is transposed where that needs fewer parts.

    Args:
        table: The table.

    Returns:
        Its parts; each has the columns that tell the rows apart.
    """
    columns = "".join("r" if right else "l" for right in table.numeric)
    bold = frozenset((i + 1, j) for i, j in table.bold)
    whole = Tabular(columns, (table.header, *table.rows), 1, bold)
    if sum(whole.widths()) <= _LINE:
        return [whole]
    rows = tuple(tuple(map(_break, row)) for row in whole.rows)
    wrapped = Tabular(columns, rows, 1, bold, small=True)
    forms = [_divide(wrapped, _key(table.rows))]
    labels = len(columns) - len(columns.lstrip("l"))
    if labels and set(columns[labels:]) == {"r"}:
        forms.append(_divide(_transpose(wrapped, labels), 1))
    return min(forms, key=len)


def _transpose(part: Tabular, labels: int) -> Tabular:
    rows = tuple(zip(*part.rows, strict=True))
    bold = frozenset((j, i) for i, j in part.bold)
    return Tabular("l" + "r" * (len(part.rows) - 1), rows, labels, bold, part.small)


def _divide(part: Tabular, keys: int) -> list[Tabular]:
    """Divide columns into parts that fit in a line, each beginning with the first ``keys``."""
    others = len(part.columns) - keys
    if not others:
        return [part]
    fewest = _fill(part, keys, others)
    even = _fill(part, keys, math.ceil(others / len(fewest)))
    blocks = even if len(even) == len(fewest) else fewest
    return [part.take([*range(keys), *block]) for block in blocks]


def _fill(part: Tabular, keys: int, most: int) -> list[list[int]]:
    """Return the columns of each part, at most ``most`` besides the first ``keys``."""
    widths = part.widths()
    room = _LINE - sum(widths[:keys])
    blocks: list[list[int]] = []
    for j in range(keys, len(widths)):
        full = not blocks or len(blocks[-1]) == most
        if full or sum(widths[i] for i in (*blocks[-1], j)) > room:
            blocks.append([])
        blocks[-1].append(j)
    return blocks


def _key(rows: _Cells) -> int:
    """Return how many of the first columns tell all rows apart, or 1 where not even all do."""
    columns = len(rows[0]) if rows else 0
    return next((k for k in range(1, columns) if len({row[:k] for row in rows}) == len(rows)), 1)


def _break(cell: str) -> str:
    """Break a cell into lines."""
    whole = _WHOLE.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), cell)
    return "\n".join(textwrap.wrap(whole, _CELL, break_long_words=False, break_on_hyphens=False))


def _digits(line: str) -> float:
    """Return the estimated width of a line of text in digits of Computer Modern."""
    powers = 3.5 * len(_POWER.findall(line))
    return powers + sum(
        0.65 if c in _NARROW else 1.5 if c in _WIDE or c.isupper() else 1.05 for c in line
    )
