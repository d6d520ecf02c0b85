"""Trials over the two most important hyperparameters, with contours of their rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ecd_tune.analysis.select import thin_ranked
from ecd_tune.records import TrialRecord
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.places import fit_places, numeric_searches
from ecd_tune.report.render.figures.parts.style import BEHIND, INK, SOFT, colours, new_panel
from ecd_tune.theory import Array

__all__ = ["draw_contours"]

_POINTS, _TOP = 150, 0.1
_CELLS, _WIDTH = 32, 0.12
"""Grid points per axis at which ranks are averaged, and the width of the Gaussian weight."""
_EDGE = 0.1
"""Share of the panel along each side that has no labels of contours, which would be cut off."""
_LEVELS = (0.5, 0.65, 0.8)
"""Mean ranks of the contours; 1 is the best."""


def draw_contours(report: StudyReport) -> Iterator[Drawn]:
    """Draw one figure for each optimizer with at least two searched hyperparameters.

    Args:
        report: The model.

    Yields:
        The figures; none for optimizers with fewer than five complete trials.
    """
    for title, records, params in numeric_searches(report):
        if len(params) > 1:
            yield _draw(report, title, thin_ranked(records, _POINTS), params[:2])


def _draw(
    report: StudyReport,
    title: str,
    records: Sequence[TrialRecord],
    params: Sequence[SearchedParam],
) -> Drawn:
    optimizer = params[0].optimizer
    figure, axes = new_panel(params[1].name)
    x, y = ([float(r.params[p.name]) for r in records] for p in params)
    fit_places(axes, "x", x, params[0].log)
    fit_places(axes, "y", y, params[1].log)
    best = max(1, round(_TOP * len(records)))
    axes.plot(x[:-best], y[:-best], "o", color=BEHIND, ms=3, mew=0, alpha=0.8)
    axes.plot(x[-best:], y[-best:], "o", color=colours(report)[optimizer], ms=4, mew=0)
    # In coordinates of the panel, in which a logarithmic axis is linear.
    place = axes.transScale + axes.transLimits
    side = np.linspace(0, 1, _CELLS)
    cells = np.stack(np.meshgrid(side, side), axis=-1)
    at = place.transform(np.column_stack([x, y]))
    ranks = _smooth(at, np.linspace(0, 1, len(records)), cells)
    if ranks.min() < _LEVELS[-1] and ranks.max() > _LEVELS[0]:
        corners = place.inverted().transform(cells.reshape(-1, 2)).reshape(cells.shape)
        lines = axes.contour(
            corners[..., 0],
            corners[..., 1],
            ranks,
            _LEVELS,
            colors=SOFT,
            linewidths=(0.6, 1.0, 1.5),
        )
        spots = _spots([place.transform(path.vertices) for path in lines.get_paths()])
        axes.clabel(
            lines,
            fmt=lambda level: f"{100 * level:.0f} %",
            colors=INK,
            fontsize=8,
            manual=[place.inverted().transform(spot) for spot in spots],
        )
    axes.set_xlabel(params[0].name)
    return Drawn(
        f"contour-{optimizer}",
        "best",
        f"{title}: trials over the two most important hyperparameters, the best tenth in colour; "
        "within a contour a trial is on average better than this share of all trials",
        f"The best trial of {title}: "
        + ", ".join(f"{p.name} = {at[-1]:.3g}" for p, at in zip(params, (x, y), strict=True)),
        figure,
        aside=True,
    )


def _spots(contours: Sequence[Array]) -> list[Array]:
    """Choose a place for the label of each contour: inside the panel, and far from the others."""
    spots: list[Array] = []
    for line in contours:
        inside = line[(np.abs(line - 0.5) < 0.5 - _EDGE).all(axis=1)]
        if inside.size:
            others = np.array(spots or [np.array([2.0, 0.5])])
            distance = np.linalg.norm(inside[:, None] - others, axis=2).min(axis=1)
            spots.append(inside[distance.argmax()])
    return spots


def _smooth(at: Array, ranks: Array, cells: Array) -> Array:
    """Return the mean rank around each cell, weighted by a Gaussian of the distance."""
    distance = ((cells[:, :, None, :] - at) ** 2).sum(axis=-1)
    weight = np.exp(-distance / (2 * _WIDTH**2)) + 1e-9
    return np.asarray((weight * ranks).sum(axis=-1) / weight.sum(axis=-1))
