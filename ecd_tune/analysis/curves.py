"""Bring the curves of several runs onto one grid, and describe them step by step."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ecd_tune.analysis.statistics import quantile
from ecd_tune.records import METRIC, Curve, TrialRecord, TrialState

__all__ = ["Band", "curve_band", "log_steps"]

_MAX_POINTS = 200


@dataclass(frozen=True)
class Band:
    """Median and quartiles of a curve over runs.

    Attributes:
        steps: Increasing step numbers.
        median: One value per step.
        q1: Lower quartile, one per step.
        q3: Upper quartile, one per step.
        runs: Runs that have a curve.
        held: Runs that diverged, and from then on keep their last finite point.
    """

    steps: tuple[int, ...]
    median: tuple[float, ...]
    q1: tuple[float, ...]
    q3: tuple[float, ...]
    runs: int
    held: int


def curve_band(
    records: Sequence[TrialRecord], name: str = METRIC, max_points: int = _MAX_POINTS
) -> Band | None:
    """Describe one curve of several runs on their common grid.

    Between its own points, and after its last, a run keeps the last finite value. A run enters
    at its first finite value.

    Args:
        records: Finished runs of one set of hyperparameters.
        name: Which of their curves; a run that has none of that name is left out.
        max_points: Longer grids are thinned evenly in the logarithm.

    Returns:
        The band; None when no run has a finite point.
    """
    stored = [(record, record.curves.get(name, Curve())) for record in records]
    kept = [(record, curve) for record, c in stored if (curve := _finite(c)).steps]
    if not kept:
        return None
    start = min(curve.steps[0] for _, curve in kept)
    # The grid is that of the curves as stored, so that it reaches to the end of the longest run.
    union = sorted({step for r, _ in kept for step in r.curves[name].steps if step >= start})
    grid = log_steps(union, max_points)
    columns = [[v for _, c in kept if (v := _at(c, step)) is not None] for step in grid]
    q1, median, q3 = (tuple(quantile(c, q) for c in columns) for q in (0.25, 0.5, 0.75))
    held = sum(record.state is TrialState.PRUNED for record, _ in kept)
    return Band(tuple(grid), median, q1, q3, len(kept), held)


def log_steps(steps: Sequence[int], count: int) -> list[int]:
    """Choose steps that are about evenly spaced in the logarithm.

    Args:
        steps: Increasing step numbers.
        count: How many to choose at most, at least 2.

    Returns:
        The first, the last, and others between them.
    """
    if len(steps) <= count:
        return list(steps)
    low, high = steps[0], steps[-1]
    # Counted from the first step, so that a start at 0 has a logarithm.
    width = math.log1p(high - low)
    chosen = {steps[0], steps[-1]}
    for index in range(1, count - 1):
        target = low + math.expm1(width * index / (count - 1))
        chosen.add(_nearest(steps, target))
    return sorted(chosen)


def _nearest(steps: Sequence[int], target: float) -> int:
    right = min(bisect.bisect_left(steps, target), len(steps) - 1)
    left = max(right - 1, 0)
    return steps[left] if target - steps[left] < steps[right] - target else steps[right]


def _finite(curve: Curve) -> Curve:
    pairs = [(s, v) for s, v in zip(curve.steps, curve.values, strict=True) if math.isfinite(v)]
    return Curve(tuple(s for s, _ in pairs), tuple(v for _, v in pairs))


def _at(curve: Curve, step: int) -> float | None:
    position = bisect.bisect_right(curve.steps, step)
    return curve.values[position - 1] if position else None
