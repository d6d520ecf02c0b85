"""The main table: search best and confirmed distribution of every set of hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ecd_tune.analysis import Interval, Summary
from ecd_tune.records import Direction
from ecd_tune.report.model.compare import sort_by_rank
from ecd_tune.report.model.rows import ResultRow, StudyReport
from ecd_tune.report.words.layout import Table
from ecd_tune.report.words.numbers import (
    format_number,
    format_within,
    quantile_format,
)

__all__ = ["result_table"]

_FINAL = "Final: the value at the last step of a run, which may be above its minimum. "
_SINGLE = (
    "The averaged weights of several epochs are evaluated; best single epoch: the same number for "
    "the weights of the selected epoch. "
)


_Cell = Callable[[ResultRow, StudyReport], str]


def result_table(report: StudyReport) -> Table:
    """Set the main table: search best and confirmed distribution side by side.

    Args:
        report: The model.

    Returns:
        One row for the best of each optimizer, ranked, and for each reference below it; the
        winner's median is emphasised if there is one.
    """
    ranked = sort_by_rank(report, report.results)
    columns = [(header, [cell(row, report) for row in ranked]) for header, cell in _columns(report)]
    rows = tuple(zip([row.label for row in ranked], *(cells for _, cells in columns), strict=True))
    header = ("Optimizer", *(header for header, _ in columns))
    bold = frozenset(
        (i, header.index(f"Median [95 % interval]{report.mark}"))
        for i, row in enumerate(ranked)
        if row.source == "best" and row.optimizer == report.answer.winner
    )
    better = "Smaller" if report.direction is Direction.MINIMIZE else "Larger"
    notes = " ".join(dict.fromkeys(_notes(report)))
    note = (
        f"Search best: {report.metric}. Confirmed: {report.confirm_metric}, over runs with new "
        f"seeds, the same for every row. {better} is better. Runs that diverged or failed count as "
        "the worst value in every median and quartile; if such a run decides, the cell shows "
        f"“diverged”. {notes}"
    )
    return Table("Search and confirmation", header, rows, note.strip(), bold)


def _columns(report: StudyReport) -> Iterator[tuple[str, _Cell]]:
    results, mark = report.results, report.mark
    yield f"Search best{mark}", lambda row, _: format_number(row.search_value)
    yield f"Median [95 % interval]{mark}", _median
    yield f"Quartiles{mark}", _quartiles
    if not report.log and any(row.summary and row.summary.mean is not None for row in results):
        yield f"Mean ± 95 % interval{mark}", _mean
    if any(map(_tells_more, results)):
        yield (
            f"Median incl. values before divergence{mark}",
            lambda row, _: _middle(row.reached or row.summary),
        )
    if any(row.final is not None for row in results):
        yield f"Final, median{mark}", lambda row, _: _middle(row.final)
    if any(row.single is not None for row in results):
        yield f"Best single epoch, median{mark}", lambda row, _: _middle(row.single)
    if any(row.lacking for row in results):
        yield "Diverged", lambda row, _: _lacking(row)
    yield "Runs", lambda row, _: _runs(row)


def _notes(report: StudyReport) -> Iterator[str]:
    if any(row.final is not None for row in report.results):
        yield _FINAL.strip()
    if any(row.single is not None for row in report.results):
        yield _SINGLE.strip()
    if any(len(row.searches) > 1 for row in report.results):
        yield (
            "Each optimizer was searched several times: the search best is the best of all "
            "searches, the median is over the runs of all searches, each with its own best "
            "hyperparameters, and its interval is Student's t over the medians of the searches."
        )
    else:
        yield "The median's interval is exact, from order statistics, and needs six runs."
    for row in report.results:
        if row.summary is not None and row.summary.mean_interval:
            yield "The mean's interval is Student's t."
        if row.summary is not None and row.summary.note.endswith("too few for an interval"):
            yield f"{row.label}: {row.summary.note}."


def _tells_more(row: ResultRow) -> bool:
    """Return whether what runs reached before they diverged changes the median as printed."""
    if row.reached is None or row.summary is None:
        return False
    return format_number(row.reached.median) != format_number(row.summary.median)


def _median(row: ResultRow, report: StudyReport) -> str:
    if row.summary is None:
        return "–"
    interval = row.summary.median_interval
    ends = (interval.low, interval.high) if interval else ()
    middle, *rest = (_number(v, report) for v in (row.summary.median, *ends))
    return f"{middle} [{', '.join(rest)}]" if rest else middle


def _quartiles(row: ResultRow, report: StudyReport) -> str:
    if row.summary is None:
        return "–"
    return " to ".join(_number(v, report) for v in (row.summary.q1, row.summary.q3))


def _number(value: float, report: StudyReport) -> str:
    return quantile_format([row.summary for row in report.results], report.log)(value)


def _half(interval: Interval | None) -> float | None:
    return (interval.high - interval.low) / 2 if interval else None


def _mean(row: ResultRow, report: StudyReport) -> str:
    if row.summary is None or row.summary.mean is None:
        return "–"
    half = _half(row.summary.mean_interval)
    mean = format_within(row.summary.mean, half)
    return mean if half is None else f"{mean} ± {format_within(half, half)}"


def _middle(summary: Summary | None) -> str:
    return format_number(summary.median, 3, "diverged") if summary else "–"


def _lacking(row: ResultRow) -> str:
    runs = len(row.confirmed.runs)
    if not runs:
        return "–"
    failed = f" + {row.confirmed.failed} failed" if row.confirmed.failed else ""
    return f"{row.confirmed.diverged} of {runs}{failed}"


def _runs(row: ResultRow) -> str:
    runs = len(row.confirmed.runs)
    return f"{runs} of {row.planned}" if runs != row.planned else str(runs)
