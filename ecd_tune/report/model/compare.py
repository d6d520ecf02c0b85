"""Compare the rows of a report with one another, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecd_tune.analysis import compare_paired, holm
from ecd_tune.records import Direction
from ecd_tune.report.model.rows import ComparisonRow, ResultRow

__all__ = ["compare_results", "rank_results", "spans_decades"]

_DECADES = 2.0


def spans_decades(results: Sequence[ResultRow]) -> bool:
    """Say whether confirmed values are better compared by ratio.

    Args:
        results: Rows with their runs.

    Returns:
        True when no finite value is negative and the positive ones span more than two decades.
    """
    finite = [v for row in results for v in row.confirmed.values if math.isfinite(v)]
    positive = [v for v in finite if v > 0]
    if not positive or min(finite) < 0:
        return False
    return math.log10(max(positive)) - math.log10(min(positive)) > _DECADES


def rank_results(results: Sequence[ResultRow], direction: Direction) -> list[ResultRow]:
    """Order the optimizers by their confirmed median.

    Equal medians are told apart by the share of runs without a value, then by what runs reached
    before they diverged, then by the mean; what is still equal keeps the study's order.

    Args:
        results: All rows; references and rows without runs are left out.
        direction: Whether a smaller or a larger value is better.

    Returns:
        The rows of the best hyperparameters, the best first.
    """
    rows = [row for row in results if row.source == "best" and row.summary is not None]
    return sorted(rows, key=lambda row: _rank(row, direction))


def _rank(row: ResultRow, direction: Direction) -> tuple[float, float, float, float]:
    assert row.summary is not None  # rows without runs are left out before
    reached = row.reached.median if row.reached else row.summary.median
    mean = row.summary.mean if row.summary.mean is not None else direction.sign * math.inf
    return (
        direction.sign * row.summary.median,
        row.lacking / row.summary.runs,
        direction.sign * reached,
        direction.sign * mean,
    )


def compare_results(
    results: Sequence[ResultRow], baseline: str, direction: Direction, log: bool
) -> tuple[ComparisonRow, ...]:
    """Compare every optimizer with the baseline, and every best with its references.

    Args:
        results: All rows.
        baseline: Key of the optimizer that the others are compared with.
        direction: Whether a smaller or a larger value is better.
        log: Compare by ratio.

    Returns:
        First the family ``"optimizers"``, then ``"references"``; p-values are adjusted within
        each family.
    """
    bests = {row.optimizer: row for row in results if row.source == "best"}
    others = [
        (row, bests[baseline])
        for row in results
        if row.source == "best" and row.optimizer != baseline
    ]
    references = [(bests[row.optimizer], row) for row in results if row.source != "best"]
    return (
        *_family("optimizers", others, direction, log),
        *_family("references", references, direction, log),
    )


def _family(
    name: str, pairs: Sequence[tuple[ResultRow, ResultRow]], direction: Direction, log: bool
) -> tuple[ComparisonRow, ...]:
    found = [
        compare_paired(_by_seed(first), _by_seed(second), direction, log=log)
        for first, second in pairs
    ]
    adjusted = holm([result.p_value for result in found])
    return tuple(
        ComparisonRow(
            family=name,
            first=first.label,
            second=second.label,
            first_optimizer=first.optimizer,
            first_source=first.source,
            second_optimizer=second.optimizer,
            second_source=second.source,
            result=result,
            p_adjusted=p,
        )
        for (first, second), result, p in zip(pairs, found, adjusted, strict=True)
    )


def _by_seed(row: ResultRow) -> dict[int, float]:
    return {run.seed: run.value for run in row.confirmed.runs if run.seed is not None}
