"""The value of trials against each hyperparameter, and over the two most important ones."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matplotlib.figure import Figure

from ecd_tune.analysis.select import rank_trials, thin_ranked
from ecd_tune.records import TrialRecord
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.plane import draw_plane, fit_places
from ecd_tune.report.render.figures.parts.scale import choose_scale
from ecd_tune.report.render.figures.parts.style import BEHIND, colours
from ecd_tune.spec import without_number

__all__ = ["draw_slices"]

_PANELS, _POINTS, _FEWEST = 3, 150, 5
_TOP = 0.1
"""Share of the trials that are shown in colour, the best ones."""
_WIDTH, _ROW, _TITLE, _LEFT, _BELOW = 4.9, 1.95, 0.34, 0.6, 0.52
"""Inches: of the figure, of a row, above all, left of a panel and below it."""


def draw_slices(report: StudyReport) -> Iterator[Drawn]:
    """Draw one figure for each optimizer: up to three hyperparameters, the most important first.

    Args:
        report: The model.

    Yields:
        The figures; none for optimizers with fewer than five complete trials.
    """
    titles = {row.optimizer: row.title for row in report.results}
    for key, title in titles.items():
        own = (r for r in report.trials if without_number(r.key.optimizer) == key)
        records = rank_trials(own, report.direction)
        params = [
            p
            for p in report.importance
            if p.optimizer == key and all(_is_number(r, p.name) for r in records)
        ]
        if len(records) >= _FEWEST and params:
            yield _draw(report, title, thin_ranked(records, _POINTS), params[:_PANELS])


def _is_number(record: TrialRecord, name: str) -> bool:
    value = record.params.get(name)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _draw(
    report: StudyReport, title: str, records: list[TrialRecord], params: list[SearchedParam]
) -> Drawn:
    values = [r.value for r in records if r.value is not None]
    scale = choose_scale(values, f"{report.metric}{report.mark}", report.direction)
    shown = scale.show(values)
    contour = len(params) > 1
    panels = len(params) + contour
    rows = math.ceil(panels / 2)
    height = _ROW * rows + _TITLE
    figure = Figure(figsize=(_WIDTH, height))
    grid = figure.subplots(rows, 2, squeeze=False)
    figure.subplots_adjust(
        left=_LEFT / _WIDTH,
        right=1 - 0.12 / _WIDTH,
        bottom=_BELOW / height,
        top=1 - _TITLE / height,
        wspace=_LEFT / (0.5 * (_WIDTH - 2 * _LEFT)),
        hspace=_BELOW / (_ROW - _BELOW),
    )
    figure.text(0.01, 1 - 0.1 / height, scale.title, va="top", fontsize=9.5, weight="bold")
    colour = colours(report)[params[0].optimizer]
    best = max(1, round(_TOP * len(records)))
    for axes, param in zip(grid.flat, params, strict=False):
        places = [float(r.params[param.name]) for r in records]
        axes.plot(places[:-best], shown[:-best], "o", color=BEHIND, ms=3, mew=0, alpha=0.8)
        axes.plot(places[-best:], shown[-best:], "o", color=colour, ms=3.5, mew=0)
        fit_places(axes, "x", places, param.log)
        scale.apply(axes)
        axes.set_xlabel(param.name)
    if contour:
        draw_plane(grid.flat[len(params)], records, params[:2], colour, best)
    for axes in list(grid.flat)[panels:]:
        axes.set_visible(False)
    chosen = records[-1]
    return Drawn(
        f"slices-{params[0].optimizer}",
        "best",
        f"{title}: trials against their hyperparameters, the best tenth in colour"
        + "; last panel: the two most important ones, with contours of the rank" * contour,
        f"The best trial of {title}: "
        + ", ".join(f"{p.name} = {float(chosen.params[p.name]):.3g}" for p in params),
        figure,
        aside=True,
    )
