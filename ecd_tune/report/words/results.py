"""The main table: search best and confirmed distribution of every set of hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator

from ecd_tune.analysis import Interval, Summary
from ecd_tune.records import Direction
from ecd_tune.report.model.rows import ResultRow, StudyReport
from ecd_tune.report.words.layout import Table
from ecd_tune.report.words.numbers import format_number, format_share

__all__ = ["result_table"]

_FINAL = "Final: the value at the last step of a run, which may have left its minimum again. "
_SINGLE = (
    "The weights of several epochs are averaged and the mean is judged; best single epoch: the "
    "same number for the weights of the epoch that was chosen. "
)


def result_table(report: StudyReport) -> Table:
    """Set the main table: search best and confirmed distribution side by side.

    Args:
        report: The model.

    Returns:
        One row for the best of each optimizer and for each reference.
    """
    reached = any(map(_tells_more, report.results))
    final = any(row.final is not None for row in report.results)
    single = any(row.single is not None for row in report.results)
    mean = not report.log and any(
        row.summary is not None and row.summary.mean is not None for row in report.results
    )
    header = [
        "Optimizer",
        "Hyperparameters",
        f"Search best{report.mark}",
        f"Confirmed median [Q1, Q3]{report.mark}",
        f"Median, 95 % interval{report.mark}",
        *([f"Mean ± 95 % interval{report.mark}"] if mean else []),
        *([f"Median incl. values before divergence{report.mark}"] if reached else []),
        *([f"Final, median{report.mark}"] if final else []),
        *([f"Best single epoch, median{report.mark}"] if single else []),
        "Diverged",
        "Runs",
    ]
    rows = tuple(tuple(_result_cells(row, mean, reached, final, single)) for row in report.results)
    better = "Smaller" if report.direction is Direction.MINIMIZE else "Larger"
    note = (
        f"Search best: {report.metric}. Confirmed: {report.confirm_metric}, over runs with fresh "
        f"seeds, the same for every row. {better} is better. Runs that diverged or failed count "
        "as the worst value in every median and quartile; where such a run decides, the cell "
        f"says “diverged”. {_FINAL if final else ''}{_SINGLE if single else ''}"
        + " ".join(dict.fromkeys(_interval_notes(report)))
    )
    return Table("Search and confirmation", tuple(header), rows, note.strip())


def _interval_notes(report: StudyReport) -> Iterator[str]:
    yield "The median's interval is exact, from order statistics, and needs six runs."
    for row in report.results:
        if row.summary is not None and row.summary.mean_interval and not report.log:
            yield "The mean's interval is Student's t."
        if row.summary is not None and row.summary.note.endswith("too few for an interval"):
            yield f"{row.label}: {row.summary.note}."


def _tells_more(row: ResultRow) -> bool:
    """Say whether what runs reached before they diverged changes the median.

    Returns:
        True when the two medians are printed differently.
    """
    if row.reached is None or row.summary is None:
        return False
    return format_number(row.reached.median) != format_number(row.summary.median)


def _result_cells(
    row: ResultRow, mean: bool, reached: bool, final: bool, single: bool
) -> Iterator[str]:
    summary = row.summary
    yield row.title
    yield "ours" if row.source == "best" else row.source
    yield format_number(row.search_value)
    yield _quartiles(summary)
    yield _interval(summary.median_interval) if summary else "–"
    if mean:
        yield _mean(summary)
    if reached:
        other = row.reached or summary
        yield format_number(other.median, infinite="diverged") if other else "–"
    if final:
        yield format_number(row.final.median, infinite="diverged") if row.final else "–"
    if single:
        yield format_number(row.single.median, infinite="diverged") if row.single else "–"
    runs = len(row.confirmed.runs)
    failed = f" + {row.confirmed.failed} failed" if row.confirmed.failed else ""
    yield format_share(row.confirmed.diverged, runs) + failed if runs else "–"
    yield f"{runs} of {row.planned}" if runs != row.planned else str(runs)


def _quartiles(summary: Summary | None) -> str:
    if summary is None:
        return "–"
    low, middle, high = (
        format_number(v, infinite="diverged") for v in (summary.q1, summary.median, summary.q3)
    )
    return f"{middle} [{low}, {high}]"


def _interval(interval: Interval | None, digits: int = 4) -> str:
    if interval is None:
        return "–"
    low, high = (format_number(v, digits, "diverged") for v in (interval.low, interval.high))
    return f"{low} to {high}"


def _mean(summary: Summary | None) -> str:
    if summary is None or summary.mean is None:
        return "–"
    if summary.mean_interval is None:
        return format_number(summary.mean)
    half = (summary.mean_interval.high - summary.mean_interval.low) / 2
    return f"{format_number(summary.mean)} ± {format_number(half, 2)}"
