"""The summary of a report for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecd_tune.report.model import StudyReport

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["render_summary"]


def render_summary(report: StudyReport) -> RenderableType:
    """Lay out the answer, the warnings and the main table.

    Args:
        report: The model.

    Returns:
        What ``rich`` prints.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from ecd_tune.report.content import result_table

    content = result_table(report)
    table = Table(title=content.caption, box=box.SIMPLE_HEAD, title_justify="left")
    for header in content.header:
        table.add_column(Text(header), overflow="fold")
    for row in content.rows:
        # Text, not str: brackets would be taken for markup.
        table.add_row(*(Text(cell) for cell in row))
    parts: list[RenderableType] = [
        Text(report.title, style="bold"),
        Text(" ".join(report.answer)),
        *(Text(f"! {warning}", style="yellow") for warning in report.warnings),
        table,
    ]
    return Group(*parts)
