"""The axes of a drawing: from values to places, with round values to mark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecd_tune.report.words.numbers import format_number

__all__ = ["Axis", "fit_axis"]


@dataclass(frozen=True)
class Axis:
    """One axis: from values to places in the drawing.

    Attributes:
        low: Smallest value shown.
        high: Largest value shown.
        log: True for a logarithmic axis; needs low > 0.
        start: Place of ``low``, in the drawing's units.
        end: Place of ``high``.
    """

    low: float
    high: float
    log: bool
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return the place of a value, kept inside the axis."""
        turn: Callable[[float], float] = math.log10 if self.log else float
        inside = min(max(value, self.low), self.high)
        share = (turn(inside) - turn(self.low)) / (turn(self.high) - turn(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return about five round values between the ends."""
        if not self.log:
            return _round_values(self.low, self.high)
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        stride = max(1, math.ceil((last - first) / 6))
        decades = [10.0**power for power in range(first, last + 1, stride)]
        if len(decades) > 1:
            return decades
        steps = [m * 10.0**power for power in range(first - 1, last + 1) for m in (1, 2, 5)]
        inside = [x for x in steps if self.low * (1 - 1e-9) <= x <= self.high * (1 + 1e-9)]
        return inside if len(inside) > 1 else [self.low, self.high]

    def marks(self) -> list[tuple[float, str]]:
        """Return place and text of each of :meth:`ticks`."""
        # Multiples such as 3 * 0.1 carry rounding noise that 3 digits drop.
        return [(round(self.place(t), 2), format_number(t, 3)) for t in self.ticks()]


def _round_values(low: float, high: float) -> list[float]:
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * k for k in range(first, last + 1)]


def fit_axis(values: Sequence[float], log: bool, start: float, end: float, margin: float) -> Axis:
    """Return an axis that shows all values.

    Args:
        values: At least one; above 0 for a logarithmic axis.
        log: Whether it is logarithmic.
        start: Place of its low end.
        end: Place of its high end.
        margin: Share of the range that is added at both ends.

    Returns:
        The axis.
    """
    low, high = min(values), max(values)
    if log:
        if high / low < 1.01:
            low, high = low / 2, high * 2
        factor = (high / low) ** margin
        return Axis(low / factor, high * factor, log, start, end)
    width = (high - low) or abs(high) or 1.0
    pad = width * margin if high > low else width / 2
    return Axis(low - pad, high + pad, log, start, end)
