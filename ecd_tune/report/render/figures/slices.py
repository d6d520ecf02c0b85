"""The value of trials against each hyperparameter, and the prediction of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matplotlib.figure import Figure

from ecd_tune.analysis.select import thin_ranked
from ecd_tune.records import TrialRecord
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.places import fit_places, numeric_searches
from ecd_tune.report.render.figures.parts.scale import choose_scale
from ecd_tune.report.render.figures.parts.style import BEHIND, INK, colours

__all__ = ["draw_slices"]

_PANELS, _POINTS = 4, 150
_TOP = 0.1
"""Share of the trials that are shown in colour, the best ones."""
_WIDTH, _ROW, _TITLE, _LEFT, _BELOW = 4.9, 1.95, 0.34, 0.6, 0.52
"""Inches: figure, row, and margins above, left of a panel and below it."""


def draw_slices(report: StudyReport) -> Iterator[Drawn]:
    """Draw one figure for each optimizer: up to four hyperparameters, the most important first.

    Where the report predicts values around the best trial, a line shows them.

    Args:
        report: The model.

    Yields:
        The figures; none for optimizers with fewer than five complete trials.
    """
    for title, records, params in numeric_searches(report):
        yield _draw(report, title, thin_ranked(records, _POINTS), params[:_PANELS])


def _draw(
    report: StudyReport, title: str, records: list[TrialRecord], params: list[SearchedParam]
) -> Drawn:
    values = [r.value for r in records if r.value is not None]
    scale = choose_scale(values, f"{report.metric}{report.mark}", report.direction)
    shown = scale.show(values)
    rows = math.ceil(len(params) / 2)
    height = _ROW * rows + _TITLE
    figure = Figure(figsize=(_WIDTH, height))
    grid = figure.subplots(rows, 2, squeeze=False)
    figure.subplots_adjust(
        left=_LEFT / _WIDTH,
        right=1 - 0.2 / _WIDTH,
        bottom=_BELOW / height,
        top=1 - _TITLE / height,
        wspace=_LEFT / (0.5 * (_WIDTH - 2 * _LEFT)),
        hspace=_BELOW / (_ROW - _BELOW),
    )
    figure.text(0.01, 1 - 0.1 / height, scale.title, va="top", fontsize=9.5, weight="bold")
    optimizer = params[0].optimizer
    predicted = {
        row.name: row
        for entry in report.sensitivity
        if entry.optimizer == optimizer
        for row in entry.rows
    }
    best = max(1, round(_TOP * len(records)))
    for axes, param in zip(grid.flat, params, strict=False):
        places = [float(r.params[param.name]) for r in records]
        # Before the points, since automatic limits can overflow.
        fit_places(axes, "x", places, param.log)
        scale.apply(axes)
        axes.plot(places[:-best], shown[:-best], "o", color=BEHIND, ms=3, mew=0, alpha=0.8)
        axes.plot(
            places[-best:], shown[-best:], "o", color=colours(report)[optimizer], ms=3.5, mew=0
        )
        if row := predicted.get(param.name):
            axes.plot(row.values, scale.show(row.predicted), "-", color=INK, lw=1.1)
        axes.set_xlabel(param.name)
    for axes in list(grid.flat)[len(params) :]:
        axes.set_visible(False)
    chosen = records[-1]
    return Drawn(
        f"slices-{optimizer}",
        "best",
        f"{title}: trials against their hyperparameters, the best tenth in colour"
        + "; the line is the prediction of a model, the others as in the best trial"
        * bool(predicted),
        f"The best trial of {title}: "
        + ", ".join(f"{p.name} = {float(chosen.params[p.name]):.3g}" for p in params),
        figure,
        aside=True,
    )
