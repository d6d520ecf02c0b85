"""On which scale values are shown, so that their differences can be seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from ecd_tune.analysis import quantile
from ecd_tune.records import Direction
from ecd_tune.report.render.figures.parts.style import number_axis

__all__ = ["LARGEST", "LEAST", "Scale", "choose_scale"]

_RATIO = 5.0
"""Largest over smallest value from which on an axis is logarithmic."""
_FAR = 3.0
"""An axis is zoomed in if the full range exceeds that of the better nine tenths by this factor."""
_MARGIN = 0.05
LARGEST, LEAST = 1e100, 1e-250
"""Values beyond are shown like infinite ones, or like 0, so that matplotlib does not overflow."""


@dataclass(frozen=True)
class Scale:
    """A scale for values of one quantity.

    Attributes:
        title: Of the axis.
        error: Whether 1 - value is shown.
        log: Whether the axis is logarithmic.
        low: Smallest value shown; values below it are at the edge.
        high: Largest value shown, as ``low``.
    """

    title: str
    error: bool
    log: bool
    low: float
    high: float

    def show(self, values: Iterable[float]) -> list[float]:
        """Return the axis positions of values: infinite ones are at the edge."""
        shown = (1 - v if self.error else v for v in values)
        return [min(max(v, self.low), self.high) for v in shown]

    def apply(self, axes: Axes, which: str = "y") -> None:
        """Set limits, scale and ticks of an axis."""
        (axes.set_xlim if which == "x" else axes.set_ylim)(self.low, self.high)
        number_axis(axes, which, self.log)


def choose_scale(values: Sequence[float], title: str, direction: Direction) -> Scale:
    """Choose the scale that separates the good values.

    Maximized shares are shown as errors, 1 - value. Positive values that span more than a factor of
    five have a logarithmic axis. A linear axis leaves out the worst tenth of the values if it would
    take most of the axis.

    Args:
        values: All values to show; infinite ones, and those beyond 1e100, are left out.
        title: Their description.
        direction: Whether a smaller or a larger value is better.

    Returns:
        The scale.
    """
    finite = [v for v in values if abs(v) < LARGEST] or [0.0]
    error = direction is Direction.MAXIMIZE and min(finite) >= 0 and max(finite) <= 1
    if error:
        finite, title, direction = [1 - v for v in finite], f"1 − {title}", Direction.MINIMIZE
    positive = [v for v in finite if v > LEAST]
    if positive and min(finite) >= 0 and max(positive) > _RATIO * min(positive):
        low = min(positive) / (1.5 if min(finite) < min(positive) else 1)
        pad = 10 ** (_MARGIN * (math.log10(max(positive)) - math.log10(low)))
        return Scale(title, error, True, low / pad, max(positive) * pad)
    low, high = _zoom(finite, direction)
    pad = _MARGIN * (high - low) if high > low else (abs(high) or 1.0) * _MARGIN
    return Scale(title, error, False, low - pad, high + pad)


def _zoom(values: Sequence[float], direction: Direction) -> tuple[float, float]:
    low, high = min(values), max(values)
    if direction is Direction.MINIMIZE:
        near = quantile(values, 0.9)
        return (low, near) if high - low > _FAR * (near - low) > 0 else (low, high)
    near = quantile(values, 0.1)
    return (near, high) if high - low > _FAR * (high - near) > 0 else (low, high)
