"""Effort of confirmed runs to reach a value that all optimizers reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median, median_high, median_low

from ecd_tune.records import Direction, TrialRecord
from ecd_tune.report.model.circumstances import Effort, EffortRow
from ecd_tune.report.model.rows import ResultRow

__all__ = ["measure_effort"]


def measure_effort(results: Sequence[ResultRow], direction: Direction) -> Effort | None:
    """Count steps, seconds and memory to a target.

    The target is what the median run of the optimizer that comes last gets to, so that half of
    the runs of each reach it.

    Args:
        results: All rows.
        direction: Whether a smaller or a larger value of the curve is better.

    Returns:
        The medians of each row, the fewest steps first; None where no row has curves.
    """
    runs = {row.label: [run.record for run in row.confirmed.runs] for row in results}
    reached = {label: [_best(r, direction) for r in records] for label, records in runs.items()}
    ends = [
        median_high(values)  # with an even number of runs the worse of the two, which half reach
        for row in results
        if row.source == "best" and (values := reached[row.label])
    ]
    ends = [end for end in ends if math.isfinite(end)]
    if not ends:
        return None
    target = max(ends)
    rows = [_row(row, runs[row.label], target, direction) for row in results if runs[row.label]]
    rows.sort(key=lambda row: (row.steps, row.seconds))
    return Effort(direction.sign * target, tuple(rows))


def _best(record: TrialRecord, direction: Direction) -> float:
    """Return the best value of a run's curve, to be made small."""
    finite = [direction.sign * v for v in record.curve.values if math.isfinite(v)]
    return min(finite, default=math.inf)


def _row(
    row: ResultRow, records: Sequence[TrialRecord], target: float, direction: Direction
) -> EffortRow:
    steps = [_steps(record, target, direction) for record in records]
    seconds = [
        found / record.curve.steps[-1] * record.cost.seconds if found < math.inf else math.inf
        for found, record in zip(steps, records, strict=True)
    ]
    memory = [v for r in records if (v := r.metrics.get("peak_memory_mib")) is not None]
    return EffortRow(
        label=row.label,
        optimizer=row.optimizer,
        source=row.source,
        runs=len(records),
        reached=sum(map(math.isfinite, steps)),
        steps=median_low(steps),
        seconds=median_low(seconds),
        memory_mib=median(memory) if memory else None,
    )


def _steps(record: TrialRecord, target: float, direction: Direction) -> float:
    for step, value in zip(record.curve.steps, record.curve.values, strict=True):
        if direction.sign * value <= target and record.curve.steps[-1] > 0:
            return float(step)
    return math.inf
