"""The interactive figures of the HTML report, as plain plotly specifications."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ecd_tune.report.model.curves import Panel, panels_of
from ecd_tune.report.model.rows import CurveRow, StudyReport
from ecd_tune.report.render.figures.svg import colours, curve_axes, dashes, shown_band

__all__ = ["Figure", "curve_figure", "progress_figure"]

Figure = dict[str, Any]
"""``data`` and ``layout`` as plotly's JavaScript takes them."""

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_DECADES = 2.0
_PANEL, _LEGEND = 320, 120
"""Heights, in pixels, of one of several panels and of what stands below them."""


def curve_figure(report: StudyReport) -> Figure | None:
    """Draw the learning curves.

    Args:
        report: The model.

    Returns:
        The figure; None without curves.
    """
    panels = panels_of(report)
    if not panels:
        return None
    figures = [_panel(report, panel) for panel in panels]
    layout = dict(figures[0]["layout"])
    for number, figure in enumerate(figures[1:], 2):
        for trace in figure["data"]:
            # Further panels: plotly counts their axes, and each line has one entry in the legend.
            trace |= {"xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": False}
        layout |= {f"{name}{number}": figure["layout"][name] for name in ("xaxis", "yaxis")}
    if len(panels) > 1:
        layout["grid"] = {"rows": len(panels), "columns": 1, "pattern": "independent"}
        layout["height"] = _PANEL * len(panels) + _LEGEND
    return {"data": [trace for figure in figures for trace in figure["data"]], "layout": layout}


def _panel(report: StudyReport, panel: Panel) -> Figure:
    x, y = curve_axes(panel.curves)
    traces = [trace for curve in panel.curves for trace in _curve_traces(report, curve, x.log)]
    layout = _layout(report.budget_unit, panel.title, x.log, y.log)
    if x.log and x.high > 10**_DECADES * x.low:
        layout["xaxis"]["dtick"] = 1  # decades alone; 2 and 5 between them are noise
    return {"data": traces, "layout": layout}


def _curve_traces(report: StudyReport, curve: CurveRow, log_x: bool) -> Iterator[Figure]:
    band, colour = shown_band(curve.band, log_x), colours(report)[curve.optimizer]
    steps = list(band.steps)
    group = f"{curve.optimizer}/{curve.source}"
    if band.runs > 1:
        yield {
            "type": "scatter",
            "mode": "lines",
            "x": [*steps, *reversed(steps)],
            "y": [*band.q3, *reversed(band.q1)],
            "fill": "toself",
            "fillcolor": _translucent(colour),
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": False,
            "legendgroup": group,
        }
    yield {
        "type": "scatter",
        "mode": "lines",
        "name": f"{curve.label}{report.mark}",
        "x": steps,
        "y": list(band.median),
        "line": {
            "color": colour,
            "width": 2,
            "dash": _DASHES[dashes(report)[curve.optimizer, curve.source] % len(_DASHES)],
        },
        "legendgroup": group,
    }


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.15)"


def progress_figure(report: StudyReport) -> Figure | None:
    """Draw the best value so far against the trial number.

    Args:
        report: The model.

    Returns:
        The figure; None before any trial has a value.
    """
    values = [v for row in report.progress for v in row.best if v is not None]
    if not values:
        return None
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{row.title}{report.mark}",
            "x": list(row.numbers),
            "y": list(row.best),
            "line": {"shape": "hv", "width": 2, "color": colours(report)[row.optimizer]},
        }
        for row in report.progress
    ]
    layout = _layout("trial", f"{report.metric}, best so far{report.mark}", False, _is_wide(values))
    return {"data": traces, "layout": layout}


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and math.log10(max(values) / min(values)) > _DECADES


def _layout(x_title: str, y_title: str, log_x: bool, log_y: bool) -> Figure:
    return {
        "xaxis": _axis(x_title, log_x),
        "yaxis": _axis(y_title, log_y),
        "margin": {"l": 70, "r": 16, "t": 12, "b": 50},
        # Held to the figure's lower edge: below the axis' title however many rows it takes.
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        "hovermode": "closest",
        "height": 440,
    }


def _axis(title: str, log: bool) -> Figure:
    axis: Figure = {"title": {"text": title, "standoff": 8}, "type": "log" if log else "linear"}
    axis |= {"automargin": True, "zeroline": False}
    return axis | ({"exponentformat": "power"} if log else {})
