"""The summary of a report for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecd_tune.report.model.rows import ResultRow, StudyReport
from ecd_tune.report.words.numbers import format_number

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

__all__ = ["render_summary", "short_warnings"]

_WIDE = 76
"""Columns of a terminal that hold quartiles with exponents."""
_MOST_WARNINGS = 4
_QUARTILES = ("Q1", "Q3")


def short_warnings(warnings: Sequence[str], remarks: Sequence[str]) -> list[str]:
    """Return the lines on warnings below an answer: the first ones, and how many the report adds.

    Args:
        warnings: Of a report, the most important first.
        remarks: On its runs.

    Returns:
        At most four lines, each with a mark.
    """
    texts = [*warnings, *remarks]
    shown = texts if len(texts) <= _MOST_WARNINGS else texts[: _MOST_WARNINGS - 1]
    lines = [f"! {text}" for text in shown]
    if left := len(texts) - len(shown):
        lines.append(f"! {left} more warnings and remarks are in the report")
    return lines


def render_summary(report: StudyReport) -> RenderableType:
    """Lay out the answer, the warnings, the remarks on runs, and the main table.

    Args:
        report: The model.

    Returns:
        The renderable for ``rich``.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(report.title, style="bold"),
        *(Text(sentence) for sentence in report.answer.sentences),
        *(Text(line, style="yellow") for line in short_warnings(report.warnings, report.remarks)),
        _Results(report),
    ]
    return Group(*parts)


@dataclass(frozen=True)
class _Results:
    """The main table, without quartiles where a terminal is too narrow for them."""

    report: StudyReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        yield _table(self.report, quartiles=options.max_width >= _WIDE)


def _table(report: StudyReport, quartiles: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ecd_tune.report.model.compare import sort_by_rank

    # Fewer columns than in the files, so that 80 characters are enough.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headers = ("Optimizer", "Search", "Median", *_QUARTILES * quartiles, "Diverged", "Runs")
    for header in headers:
        right = header != "Optimizer"
        table.add_column(
            header, justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in sort_by_rank(report, report.results):
        # Text, not str: brackets would be read as markup.
        table.add_row(*(Text(cell) for cell in _cells(row, quartiles)))
    mark, shown = report.mark, ", ".join(("Median", *_QUARTILES * quartiles))
    table.caption = f"Search: its best value{mark}. {shown}: confirmed runs{mark}"
    return table


def _cells(row: ResultRow, quartiles: bool) -> tuple[str, ...]:
    runs = len(row.confirmed.runs)
    summary = row.summary
    quantiles = (summary.median, summary.q1, summary.q3) if summary else (None, None, None)
    shown = quantiles if quartiles else quantiles[:1]
    return (
        row.label,
        format_number(row.search_value, 3),
        *(format_number(value, 3, "diverged") for value in shown),
        str(row.lacking) if runs else "–",
        str(runs) if runs == row.planned else f"{runs} of {row.planned}",
    )
