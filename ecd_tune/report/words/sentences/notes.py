"""Sentences that qualify the results: where runs end, which stop by themselves, published values.

The answer includes those that concern it; all are shown below the table of results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from ecd_tune.analysis import spans_decades
from ecd_tune.records import Direction
from ecd_tune.report.model.compare import rank_results
from ecd_tune.report.model.rows import ResultRow
from ecd_tune.report.words.numbers import quantile_format
from ecd_tune.spec import StudySpec

__all__ = [
    "compose_notes",
    "describe_final",
    "describe_holding",
    "describe_stop",
    "show_quantiles",
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


def state_median(row: ResultRow, mark: str, show: Callable[[float], str]) -> str:
    """Name a row with its median.

    Args:
        row: One with runs.
        mark: Mark of every number.
        show: Prints the median.

    Returns:
        For example ``GDM 0.6936 (17 of 100 runs diverged)``.
    """
    assert row.summary is not None  # asked of rows with runs only
    median = row.summary.median
    number = "none" if math.isinf(median) else f"{show(median)}{mark}"
    counts = [(row.confirmed.diverged, "diverged"), (row.confirmed.failed, "failed")]
    lacking = " and ".join(f"{n} of {row.summary.runs} runs {how}" for n, how in counts if n)
    return f"{row.label} {number}" + (f" ({lacking})" if lacking else "")


def show_quantiles(results: Sequence[ResultRow]) -> Callable[[float], str]:
    """Return how quantiles of these rows are printed."""
    log = spans_decades([value for row in results for value in row.confirmed.values])
    return quantile_format([row.summary for row in results], log)


def _published(results: Sequence[ResultRow], direction: Direction, mark: str) -> Iterator[str]:
    order = [row.optimizer for row in rank_results(results, direction)]
    rows = [r for r in results if r.source != "best" and r.summary and r.optimizer in order]
    rows.sort(key=lambda row: order.index(row.optimizer))
    if rows:
        show = show_quantiles(results)
        medians = ", ".join(state_median(row, mark, show) for row in rows)
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
    return f"{row.label} {_LEAVES} {quantile_format([row.final], log=False)(final)}{mark}."


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
