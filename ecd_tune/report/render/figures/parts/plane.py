"""Trials over two hyperparameters, with contours of their rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ecd_tune.records import TrialRecord
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.report.render.figures.parts.style import BEHIND, SOFT, number_axis
from ecd_tune.theory import Array

__all__ = ["draw_plane", "fit_places"]

_CELLS, _WIDTH = 24, 0.12
"""Places along a side at which ranks are averaged, and the width of the Gaussian weight."""
_LEVELS = (0.5, 0.65, 0.8)
"""Mean ranks of the contours, 1 being the best."""


def fit_places(axes: Axes, which: str, places: Sequence[float], log: bool) -> None:
    """Set the limits and ticks of an axis of hyperparameters.

    Args:
        axes: The panel.
        which: ``"x"`` or ``"y"``.
        places: All values, at least one.
        log: Whether they were drawn in the logarithm.
    """
    low, high = min(places), max(places)
    log = log and low > 0
    if log:
        pad = (high / low) ** 0.04 if high > low else 2.0
        limits = (low / pad, high * pad)
    else:
        pad = 0.04 * (high - low) if high > low else abs(high) or 1.0
        limits = (low - pad, high + pad)
    (axes.set_xlim if which == "x" else axes.set_ylim)(limits)
    number_axis(axes, which, log, few=True)


def draw_plane(
    axes: Axes,
    records: Sequence[TrialRecord],
    params: Sequence[SearchedParam],
    colour: str,
    best: int,
) -> None:
    """Draw trials over two hyperparameters.

    Args:
        axes: The panel.
        records: Trials from the worst to the best.
        params: The two.
        colour: Of the best ones.
        best: How many these are.
    """
    x, y = ([float(r.params[p.name]) for r in records] for p in params)
    fit_places(axes, "x", x, params[0].log)
    fit_places(axes, "y", y, params[1].log)
    # In places of the panel, where a logarithmic axis is straight.
    place = axes.transScale + axes.transLimits
    at = place.transform(np.column_stack([x, y]))
    side = np.linspace(0, 1, _CELLS)
    cells = np.stack(np.meshgrid(side, side), axis=-1)
    ranks = _smooth(at, np.linspace(0, 1, len(records)), cells)
    corners = place.inverted().transform(cells.reshape(-1, 2)).reshape(cells.shape)
    if ranks.min() < _LEVELS[-1] and ranks.max() > _LEVELS[0]:
        axes.contour(
            corners[..., 0],
            corners[..., 1],
            ranks,
            _LEVELS,
            colors=SOFT,
            linewidths=(0.5, 0.9, 1.4),
        )
    axes.plot(x[:-best], y[:-best], "o", color=BEHIND, ms=2.5, mew=0, alpha=0.8)
    axes.plot(x[-best:], y[-best:], "o", color=colour, ms=3.5, mew=0)
    axes.set_xlabel(params[0].name)
    axes.set_title(params[1].name, fontsize=9, weight="normal", x=-0.2, pad=4)


def _smooth(at: Array, ranks: Array, cells: Array) -> Array:
    """Return the mean rank about each cell, weighted by a Gaussian of the distance."""
    distance = ((cells[:, :, None, :] - at) ** 2).sum(axis=-1)
    weight = np.exp(-distance / (2 * _WIDTH**2)) + 1e-9
    return np.asarray((weight * ranks).sum(axis=-1) / weight.sum(axis=-1))
