"""Results of each search, if there are several or a selection."""

from __future__ import annotations

from collections.abc import Iterator

from ecd_tune.report.model.compare import sort_by_rank
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.words.layout import Table
from ecd_tune.report.words.numbers import format_number

__all__ = ["searches_table"]


def searches_table(report: StudyReport) -> Iterator[Table]:
    """Set the searches side by side.

    Args:
        report: The model.

    Yields:
        One table; none where each optimizer was searched once and no trial was run again.
    """
    rows = [
        (row.title, own) for row in sort_by_rank(report, report.results) for own in row.searches
    ]
    several = any(own.number > 1 for _, own in rows)
    selected = any(own.selected is not None for _, own in rows)
    if not (several or selected):
        return
    again = (f"Mean of the selection runs{report.mark}",) if selected else ()
    header = (
        "Optimizer",
        "Search",
        "Best trial",
        f"Value in the search{report.mark}",
        *again,
        f"Confirmed, median{report.mark}",
        "Runs",
    )
    cells = tuple(
        (
            title,
            str(own.number),
            "–" if own.trial is None else str(own.trial),
            format_number(own.value),
            *((format_number(own.selected, infinite="diverged"),) if selected else ()),
            format_number(own.median, infinite="diverged"),
            str(own.runs),
        )
        for title, own in rows
    )
    note = f"Value in the search: {report.metric}, the best of many and therefore optimistic."
    if selected:
        note += (
            " The best trials of a search were run again with other seeds; the best trial is the "
            "one with the best mean over these runs."
        )
    yield Table("Search by search", header, cells, note)
