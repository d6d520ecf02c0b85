"""Learning curves: median and quartile band of each quantity against the step."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ecd_tune.records import METRIC, Direction
from ecd_tune.report.model.curves import Panel, panels_of
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.scale import choose_scale
from ecd_tune.report.render.figures.parts.style import (
    colours,
    dashes,
    label_ends,
    new_panel,
    number_axis,
)

__all__ = ["draw_curves"]

_LOG_STEPS = 200


def draw_curves(report: StudyReport) -> Iterator[Drawn]:
    """Draw one figure for each quantity that runs recorded.

    Args:
        report: The model.

    Yields:
        The figures.
    """
    for panel in panels_of(report):
        yield _draw(report, panel)


def _draw(report: StudyReport, panel: Panel) -> Drawn:
    labels = [f"{curve.label}{report.mark}" for curve in panel.curves]
    bands = [curve.band for curve in panel.curves]
    values = [v for band in bands for v in (*band.median, *band.q1, *band.q3)]
    metric = METRIC in panel.curves[0].quantity
    direction = report.direction if metric else Direction.MINIMIZE
    scale = choose_scale(values, panel.title, direction)
    figure, axes = new_panel(scale.title, labels)
    steps = [step for band in bands for step in band.steps]
    log_x = max(steps) > _LOG_STEPS
    ends = []
    for curve, label in zip(panel.curves, labels, strict=True):
        colour, band = colours(report)[curve.optimizer], curve.band
        if band.runs > 1:
            axes.fill_between(
                band.steps, scale.show(band.q1), scale.show(band.q3), color=colour, alpha=0.15, lw=0
            )
        style = dashes(report)[curve.optimizer, curve.source]
        median = scale.show(band.median)
        axes.plot(band.steps, median, color=colour, lw=1.5, ls=style)
        ends.append((median[-1], label, colour))
    low = min(step for step in steps if step > 0 or not log_x)
    axes.set_xlim(low, max(max(steps), low + 1))
    number_axis(axes, "x", log_x)
    scale.apply(axes)
    axes.set_xlabel(report.budget_unit)
    label_ends(axes, ends)
    name = panel.curves[0].quantity
    runs = max(band.runs for band in bands)
    return Drawn(
        f"curves-{name}",
        "curves",
        f"{panel.title}: median and quartiles over "
        + ("the runs" if runs > 1 else "one run")
        + (", logarithmic" if scale.log else ""),
        f"{', '.join(labels)} against {report.budget_unit}; at the end the medians are "
        + ", ".join(f"{v:.4g}" for v, _, _ in ends if math.isfinite(v)),
        figure,
    )
