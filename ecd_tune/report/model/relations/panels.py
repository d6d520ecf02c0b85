"""Panels of measured points with a prediction."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Line", "Points", "ScatterPanel"]


@dataclass(frozen=True)
class Points:
    """Measured points.

    Attributes:
        label: Whose they are; the same label has the same colour in all panels.
        x: Places.
        y: Measured values.
        error: Half lengths of the bars; empty for none.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    error: tuple[float, ...] = ()


@dataclass(frozen=True)
class Line:
    """A prediction.

    Attributes:
        x: Places, increasing.
        y: Predicted values.
        low: Lower edge of the band; empty for none.
        high: Upper edge.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class ScatterPanel:
    """One relation, on one pair of axes.

    Attributes:
        title: Its title.
        note: Meaning of line and band.
        x_title: Quantity and unit of x.
        y_title: Quantity and unit of y.
        log_x: Whether x is logarithmic; every x is then above 0.
        log_y: Whether y is logarithmic; every y is then above 0.
        points: The measurements, at least one point.
        line: The prediction, or None.
    """

    title: str
    note: str
    x_title: str
    y_title: str
    log_x: bool
    log_y: bool
    points: tuple[Points, ...]
    line: Line | None = None
