"""Layout of a report: tables of texts and sections, without markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Page", "Section", "Table"]

_NUMBER = re.compile(r"(p |from )?[-−+×<>≤≥~ ]*[\d∞]")
_SHORT, _LINE = 40, 125
"""Characters of the longest cell that is kept in one line, and of a line of a page."""
_WORD = re.compile(r"\w{1,12}$|diverged|no value$|not reached$|could not be$")


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: Its caption.
        header: One text per column.
        rows: Texts, as many as columns.
        note: How to read it.
        bold: Row and column of emphasised cells.
        aside: Whether pages fold it away.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    bold: frozenset[tuple[int, int]] = frozenset()
    aside: bool = False

    @property
    def fits(self) -> bool:
        """Whether the longest cells of all columns fit in one line of a page."""
        columns = zip(self.header, *self.rows, strict=True)
        return sum(min(max(map(len, cells)), _SHORT) + 2 for cells in columns) <= _LINE

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Columns of numbers and at most as many single words, which are aligned right."""
        found = tuple(map(_mostly_numbers, zip(*self.rows, strict=True)))
        return found or (False,) * len(self.header)


def _mostly_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in ("", "–")]
    others = [cell for cell in filled if not _NUMBER.match(cell)]
    return all(map(_WORD.match, others)) and 2 * len(others) <= len(filled)


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        anchor: Short name, unique in the report.
        title: Heading.
        paragraphs: Texts before the tables.
        tables: Tables.
        closing: Texts after the tables.
        code: A command line to show, or empty.
    """

    anchor: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    closing: tuple[str, ...] = ()
    code: str = ""

    @property
    def empty(self) -> bool:
        """True when there is nothing under the heading."""
        return not (self.paragraphs or self.tables or self.closing or self.code)


@dataclass(frozen=True)
class Page:
    """A whole report, ready to be set.

    Attributes:
        title: Headline.
        summary: Its title; may be empty.
        answer: Its first lines, sentence by sentence.
        warnings: Warnings: incomplete or unreliable results.
        sections: None that is empty.
        oracle: True when every number is a maximum on the split that is also reported.
    """

    title: str
    summary: str
    answer: tuple[str, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    oracle: bool = False
