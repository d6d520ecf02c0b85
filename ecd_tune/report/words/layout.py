"""What a report is laid out in: tables of texts and sections, free of any markup."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Section", "Table"]


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: What it shows.
        header: One text a column.
        rows: Texts, as many as columns.
        note: How to read it.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        anchor: Short name, unique in the report.
        title: Heading.
        paragraphs: Texts before the tables.
        tables: Tables.
        closing: Texts after the tables.
        figure: ``"curves"``, ``"progress"``, ``"theory"`` or empty.
        code: A command line to show, or empty.
    """

    anchor: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    closing: tuple[str, ...] = ()
    figure: str = ""
    code: str = ""

    @property
    def empty(self) -> bool:
        """True when there is nothing under the heading."""
        return not (self.paragraphs or self.tables or self.closing or self.figure or self.code)
