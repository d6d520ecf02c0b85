"""Measured against predicted, as a static SVG file: points with error bars, lines with bands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ecd_tune.report.model.relations.panels import Line, Points, ScatterPanel
from ecd_tune.report.render._templates import environment
from ecd_tune.report.render.figures.axes import Axis, fit_axis
from ecd_tune.report.render.figures.svg import PALETTE

__all__ = ["render_scatter"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 78.0, 700.0, 40.0, 330.0
_STRIDE, _MARGIN = 410, 0.05
_COLUMN, _ROW = 310, 20


def render_scatter(title: str, panels: Sequence[ScatterPanel]) -> str:
    """Draw panels below each other, with one legend.

    Args:
        title: What the drawing is of.
        panels: At least one.

    Returns:
        A whole SVG document.
    """
    labels = list(dict.fromkeys(group.label for panel in panels for group in panel.points))
    colours = {label: PALETTE[k % len(PALETTE)] for k, label in enumerate(labels)}
    bottom = _STRIDE * len(panels) + 16
    return (
        environment()
        .get_template("scatter.svg.j2")
        .render(
            title=title,
            panels=[
                {"shift": _STRIDE * k, **_panel(panel, colours)} for k, panel in enumerate(panels)
            ],
            legend=[
                {
                    "label": label,
                    "colour": colours[label],
                    "x": _LEFT + _COLUMN * (k % 2),
                    "y": bottom + _ROW * (k // 2),
                }
                for k, label in enumerate(labels)
            ],
            height=bottom - 8 + _ROW * math.ceil(len(labels) / 2),
        )
    )


def _panel(panel: ScatterPanel, colours: dict[str, str]) -> dict[str, object]:
    x, y = _axes(panel)
    return {
        "panel": panel,
        "x_ticks": x.marks(),
        "y_ticks": y.marks(),
        "line": _path(x, y, panel.line.x, panel.line.y) if panel.line else "",
        "band": _band(x, y, panel.line) if panel.line else "",
        "groups": [
            {"colour": colours[group.label], "marks": list(_marks(x, y, group, panel.log_y))}
            for group in panel.points
        ],
    }


def _axes(panel: ScatterPanel) -> tuple[Axis, Axis]:
    parts: list[Points | Line] = [*panel.points, *([panel.line] if panel.line else [])]
    places = [v for part in parts for v in part.x]
    values = [v for part in parts for v in part.y]
    return (
        fit_axis(places, panel.log_x, _LEFT, _RIGHT, _MARGIN),
        fit_axis(values, panel.log_y, _BOTTOM, _TOP, _MARGIN),
    )


def _path(x: Axis, y: Axis, xs: Sequence[float], ys: Sequence[float]) -> str:
    return " ".join(f"{x.place(a):.2f},{y.place(b):.2f}" for a, b in zip(xs, ys, strict=True))


def _band(x: Axis, y: Axis, line: Line) -> str:
    if not line.low:
        return ""
    lower = _path(x, y, line.x[::-1], line.low[::-1])
    return f"{_path(x, y, line.x, line.high)} {lower}"


def _marks(x: Axis, y: Axis, group: Points, log: bool) -> Iterator[dict[str, float | None]]:
    errors = group.error or (0.0,) * len(group.x)
    for place, value, error in zip(group.x, group.y, errors, strict=True):
        low = y.low if log and value <= error else value - error
        yield {
            "x": round(x.place(place), 2),
            "y": round(y.place(value), 2),
            "low": round(y.place(low), 2) if error else None,
            "high": round(y.place(value + error), 2) if error else None,
        }
