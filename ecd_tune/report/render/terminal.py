"""The summary of a report for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecd_tune.report.model.rows import ResultRow, StudyReport
from ecd_tune.report.words.numbers import format_number

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["render_summary"]


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
        *(Text(f"! {warning}", style="yellow") for warning in report.warnings),
        *(Text(f"! {remark}", style="yellow") for remark in report.remarks),
        _table(report),
    ]
    return Group(*parts)


def _table(report: StudyReport) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Fewer columns than in the files, so that 80 characters are enough.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("Optimizer", "Search", "Median", "Q1", "Q3", "Diverged", "Runs"):
        right = header != "Optimizer"
        table.add_column(header, justify="right" if right else "left", no_wrap=right)
    for row in report.results:
        # Text, not str: brackets would be read as markup.
        table.add_row(*(Text(cell) for cell in _cells(row)))
    mark = report.mark
    table.caption = f"Search: its best value{mark}. Median, Q1, Q3: confirmed runs{mark}"
    return table


def _cells(row: ResultRow) -> tuple[str, ...]:
    runs = len(row.confirmed.runs)
    summary = row.summary
    quantiles = (summary.median, summary.q1, summary.q3) if summary else (None, None, None)
    return (
        row.label,
        format_number(row.search_value, 3),
        *(format_number(value, 3, "diverged") for value in quantiles),
        str(row.lacking) if runs else "–",
        str(runs) if runs == row.planned else f"{runs} of {row.planned}",
    )
