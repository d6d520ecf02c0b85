"""Sentences that qualify the results: where runs end, which stop by themselves, published values.

The answer includes those that concern it; all are shown below the table of results.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ecd_tune.analysis import Summary
from ecd_tune.records import Direction
from ecd_tune.report.model.compare import rank_results
from ecd_tune.report.model.rows import ResultRow
from ecd_tune.report.words.numbers import format_within
from ecd_tune.spec import StudySpec

__all__ = [
    "compose_notes",
    "describe_final",
    "describe_holding",
    "describe_stop",
    "format_quantile",
    "state_median",
]

_WORSE = 10.0
_LEAVES = "does not stay at its minimum: its runs end at a median of"


def compose_notes(spec: StudySpec, results: Sequence[ResultRow], oracle: bool) -> tuple[str, ...]:
    """Compose what has to be known to read the table of results.

    Args:
        spec: The study.
        results: All rows.
        oracle: Whether every number carries that word.

    Returns:
        Sentences; may be empty.
    """
    mark = " (oracle)" if oracle else ""
    direction = spec.task_def.direction
    found = [
        *_published(results, direction, mark),
        # The answer has this sentence for our own hyperparameters.
        *(describe_final(row, direction, mark) for row in results if row.source != "best"),
        *(describe_stop(spec, row) for row in results),
        *(describe_holding(row) for row in results),
    ]
    return tuple(sentence for sentence in found if sentence)


def state_median(row: ResultRow, mark: str) -> str:
    """Name a row with its median.

    Args:
        row: One with runs.
        mark: Mark of every number.

    Returns:
        For example ``GDM 0.6936 (17 of 100 runs diverged)``.
    """
    assert row.summary is not None  # asked of rows with runs only
    median = row.summary.median
    number = "none" if math.isinf(median) else f"{format_quantile(median, row.summary)}{mark}"
    counts = [(row.confirmed.diverged, "diverged"), (row.confirmed.failed, "failed")]
    lacking = " and ".join(f"{n} of {row.summary.runs} runs {how}" for n, how in counts if n)
    return f"{row.label} {number}" + (f" ({lacking})" if lacking else "")


def format_quantile(value: float, summary: Summary) -> str:
    """Print a quantile of a row to the digits that the interval of its median leaves it.

    Args:
        value: The quantile; infinity prints as ``diverged``.
        summary: The row's distribution.
    """
    ends = summary.median_interval
    return format_within(value, (ends.high - ends.low) / 2 if ends else None, "diverged")


def _published(results: Sequence[ResultRow], direction: Direction, mark: str) -> Iterator[str]:
    order = [row.optimizer for row in rank_results(results, direction)]
    rows = [r for r in results if r.source != "best" and r.summary and r.optimizer in order]
    rows.sort(key=lambda row: order.index(row.optimizer))
    if rows:
        medians = ", ".join(state_median(row, mark) for row in rows)
        yield f"Medians with the published hyperparameters and the same seeds: {medians}."


def describe_final(row: ResultRow, direction: Direction, mark: str = "") -> str:
    """Report that runs leave the minimum by which they are evaluated.

    Args:
        row: Results of one set of hyperparameters.
        direction: Whether a smaller or a larger value is better.
        mark: Mark of every number.

    Returns:
        A sentence; empty unless the median of the final values is more than ten times the
        median of the minima. Values that are negative or to be maximised have no such factor.
    """
    if row.final is None or row.summary is None or direction is not Direction.MINIMIZE:
        return ""
    lowest, final = row.summary.median, row.final.median
    if lowest < 0 or not math.isfinite(final) or final <= _WORSE * lowest:
        return ""
    return f"{row.label} {_LEAVES} {format_quantile(final, row.final)}{mark}."


def describe_stop(spec: StudySpec, row: ResultRow) -> str:
    """State how many runs ECDSep stopped.

    Args:
        spec: The study.
        row: Results of one set of hyperparameters.

    Returns:
        A sentence; empty when no run was.
    """
    if not row.stopped:
        return ""
    share = f"{row.stopped} of {len(row.confirmed.runs)} runs of {row.label}"
    if spec.learns:
        # The loss of another minibatch may be above the threshold again.
        return f"{share} made no update at some steps, because of its stop rule V < ε2."
    return (
        f"{share} stopped by its stop rule V < ε2: the value is where it stopped, not the lowest "
        "value possible."
    )


def describe_holding(row: ResultRow) -> str:
    """Report how many runs stopped moving because the loss was not above the optimizer's offset.

    Args:
        row: Results of one set of hyperparameters.

    Returns:
        A sentence; empty when no run did.
    """
    if not row.held:
        return ""
    return (
        f"{row.held} of {len(row.confirmed.runs)} runs of {row.label} made no update at some "
        "steps, because the loss was not above the optimizer's offset (gap <= 0)."
    )
