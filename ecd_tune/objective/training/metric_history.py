"""The curves of a run while it grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from ecd_tune.records import Curve

__all__ = ["MetricHistory", "thinned"]

_FRACTION = 1024
"""A point that is closer to the one before it than its step over this is left out."""


class MetricHistory:
    """Named curves, point by point; long ones are thinned as they grow.

    All points up to step 2047 stay. Beyond that, a point is kept if it is at least a 1024th of its
    step after the previous one: a million steps give about 8700 points, evenly spaced in the
    logarithm. The last point is always there. The kept points depend only on the steps, so that
    runs of equal length have points at the same steps, also after interruptions.
    """

    def __init__(self) -> None:
        self._points: dict[str, dict[int, float]] = {}

    def add(self, step: int, values: Mapping[str, float]) -> bool:
        """Add one point to some curves; a new name starts a curve.

        Args:
            step: The step, larger than that of each curve's last point.
            values: Name to value; it may be NaN or infinite.

        Returns:
            True when these points stay; False when the next ones may replace some of them.
        """
        stay = [
            _append(self._points.setdefault(name, {}), step, value)
            for name, value in values.items()
        ]
        return all(stay)

    def get(self, name: str) -> Mapping[int, float]:
        """Return the points of one curve so far.

        Args:
            name: Its name.

        Returns:
            Step to value, in order; empty where there is no such curve.
        """
        return self._points.get(name, {})

    def curves(self) -> dict[str, Curve]:
        """Return all curves."""
        return {
            name: Curve(tuple(points), tuple(points.values()))
            for name, points in self._points.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the input of :meth:`load_state_dict`."""
        return {name: dict(points) for name, points in self._points.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue.

        Args:
            state: Returned by :meth:`state_dict`.
        """
        self._points = {
            str(name): {int(step): float(value) for step, value in points.items()}
            for name, points in state.items()
        }


def thinned(steps: Iterable[int]) -> list[int]:
    """Return the steps at which a curve has points.

    Args:
        steps: All steps, increasing.
    """
    points: dict[int, float] = {}
    for step in steps:
        _append(points, step, 0.0)
    return list(points)


def _append(points: dict[int, float], step: int, value: float) -> bool:
    """Add a point; it replaces the last one if that is too close to the one before it."""
    last = list(islice(reversed(points), 2))
    if len(last) == 2 and not _is_apart(*last):
        del points[last.pop(0)]
    points[step] = value
    return not last or _is_apart(step, last[0])


def _is_apart(step: int, before: int) -> bool:
    return step - before >= step // _FRACTION
