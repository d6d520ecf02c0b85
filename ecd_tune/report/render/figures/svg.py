"""The learning curves as a static SVG file: axes, ticks, bands, lines and a legend."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from ecd_tune.analysis import Band
from ecd_tune.report.model.curves import Panel, panels_of
from ecd_tune.report.model.rows import CurveRow, StudyReport
from ecd_tune.report.render._templates import environment
from ecd_tune.report.render.figures.axes import Axis, fit_axis

__all__ = ["PALETTE", "colours", "curve_axes", "dashes", "render_svg", "shown_band"]

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#666666")
"""Okabe and Ito's colours, told apart by the colour-blind too; its yellow darkened."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 78.0, 700.0, 16.0, 330.0
_STRIDE, _FIRST_LINE = 376, 392
"""From one panel to the next, and from the top to the legend below the first."""
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 4")
_LOG_DECADES, _LOG_STEPS = 2.0, 200


def curve_axes(curves: Sequence[CurveRow]) -> tuple[Axis, Axis]:
    """Choose the axes of learning curves.

    Args:
        curves: At least one.

    Returns:
        The axis of steps, logarithmic beyond 200 steps, and that of values, logarithmic when
        all are positive and span more than two decades.
    """
    steps = [float(step) for c in curves for step in c.band.steps]
    values = [v for c in curves for v in (*c.band.median, *c.band.q1, *c.band.q3)]
    log_x = max(steps) > _LOG_STEPS
    steps = [step for step in steps if step > 0] if log_x else steps
    log_y = min(values) > 0 and math.log10(max(values) / min(values)) > _LOG_DECADES
    x = fit_axis(steps, log_x, _LEFT, _RIGHT, margin=0.0)
    return x, fit_axis(values, log_y, _BOTTOM, _TOP, margin=0.04)


def shown_band(band: Band, log_x: bool) -> Band:
    """Leave out of a band what the axis of steps cannot show.

    Args:
        band: The band.
        log_x: Whether the axis of steps is logarithmic: step 0 has no logarithm.

    Returns:
        The band, from step 1 on where the axis is logarithmic.
    """
    if not log_x or band.steps[0] > 0:
        return band
    return dataclasses.replace(
        band, steps=band.steps[1:], median=band.median[1:], q1=band.q1[1:], q3=band.q3[1:]
    )


def colours(report: StudyReport) -> dict[str, str]:
    """Give every optimizer its colour.

    Args:
        report: The model.

    Returns:
        Optimizer key to colour; its references share it.
    """
    keys = list(dict.fromkeys(row.optimizer for row in report.results))
    return {key: PALETTE[i % len(PALETTE)] for i, key in enumerate(keys)}


def dashes(report: StudyReport) -> dict[tuple[str, str], int]:
    """Give every row its kind of line: 0 for our best, then one number a reference.

    Args:
        report: The model.

    Returns:
        Optimizer key and source to the number.
    """
    found: dict[tuple[str, str], int] = {}
    for row in report.results:
        before = sum(key == row.optimizer for key, _ in found)
        found[row.optimizer, row.source] = before
    return found


def render_svg(report: StudyReport) -> str:
    """Draw the learning curves.

    Args:
        report: The model.

    Returns:
        A whole SVG document; without curves, an empty frame that says so.
    """
    panels = [_panel(report, panel) for panel in panels_of(report)]
    bottom = _STRIDE * max(len(panels), 1) + _FIRST_LINE - _STRIDE
    legend = list(_legend(report, bottom))
    return (
        environment()
        .get_template("curves.svg.j2")
        .render(
            report=report,
            panels=[{"shift": _STRIDE * k, **panel} for k, panel in enumerate(panels)],
            legend=legend,
            height=bottom - 8 + 20 * math.ceil(len(legend) / 2),
        )
    )


def _panel(report: StudyReport, panel: Panel) -> dict[str, object]:
    x, y = curve_axes(panel.curves)
    return {
        "title": panel.title,
        "lines": list(_lines(report, panel, x, y)),
        "x_ticks": x.marks(),
        "y_ticks": y.marks(),
    }


def _lines(report: StudyReport, panel: Panel, x: Axis, y: Axis) -> Iterator[dict[str, object]]:
    for curve in panel.curves:
        band = shown_band(curve.band, x.log)
        upper = _points(x, y, band.steps, band.q3)
        lower = _points(x, y, band.steps, band.q1)
        yield {
            **_stroke(report, curve),
            "band": " ".join([*upper, *reversed(lower)]) if band.runs > 1 else "",
            "line": " ".join(_points(x, y, band.steps, band.median)),
        }


def _legend(report: StudyReport, top: float) -> Iterator[dict[str, object]]:
    rows = {(curve.optimizer, curve.source): curve for curve in report.curves}
    for index, curve in enumerate(rows.values()):
        yield {
            **_stroke(report, curve),
            "label": f"{curve.label}{report.mark}",
            "x": _LEFT + 310 * (index % 2),
            "y": top + 20 * (index // 2),
        }


def _stroke(report: StudyReport, curve: CurveRow) -> dict[str, object]:
    kind = dashes(report)[curve.optimizer, curve.source]
    return {"colour": colours(report)[curve.optimizer], "dash": _DASHES[kind % len(_DASHES)]}


def _points(x: Axis, y: Axis, steps: Sequence[int], values: Sequence[float]) -> list[str]:
    pairs = zip(steps, values, strict=True)
    return [f"{x.place(step):.2f},{y.place(value):.2f}" for step, value in pairs]
