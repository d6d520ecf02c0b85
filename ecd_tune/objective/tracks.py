"""The curves of a run while it grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecd_tune.records import Curve

__all__ = ["Tracks"]


class Tracks:
    """Named curves, point by point."""

    def __init__(self) -> None:
        self._points: dict[str, dict[int, float]] = {}

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to some curves; a name that is new begins one.

        Args:
            step: The step, larger than that of each curve's last point.
            values: Name to value; it may be NaN or infinite.
        """
        for name, value in values.items():
            self._points.setdefault(name, {})[step] = value

    def get(self, name: str) -> Mapping[int, float]:
        """Return the points of one curve so far.

        Args:
            name: Its name.

        Returns:
            Step to value, in order; empty where there is no such curve.
        """
        return self._points.get(name, {})

    def curves(self) -> dict[str, Curve]:
        """Return all of them as they stand."""
        return {
            name: Curve(tuple(points), tuple(points.values()))
            for name, points in self._points.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` takes."""
        return {name: dict(points) for name, points in self._points.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on.

        Args:
            state: What :meth:`state_dict` returned.
        """
        self._points = {
            str(name): {int(step): float(value) for step, value in points.items()}
            for name, points in state.items()
        }
