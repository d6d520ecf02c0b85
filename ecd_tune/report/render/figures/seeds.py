"""Every confirmed run as a point, one row for each set of hyperparameters, with medians."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ecd_tune.report.model.rows import ResultRow, StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.scale import choose_scale
from ecd_tune.report.render.figures.parts.style import INK, SOFT, colours, new_panel

__all__ = ["draw_seeds"]

_ROW, _REST = 0.34, 0.95
"""Inches per row, and of the margins above and below."""
_SPREAD = 0.5
"""Part of a row over which points are spread."""
_CHARACTER = 0.08


def draw_seeds(report: StudyReport) -> Iterator[Drawn]:
    """Draw the confirmed runs, the best median at the top.

    Args:
        report: The model.

    Yields:
        One figure; none before runs are confirmed.
    """
    rows = sorted(
        (row for row in report.results if row.summary is not None),
        key=lambda row: report.direction.sign * _median(row),
    )
    values = [v for row in rows for v in row.confirmed.values if math.isfinite(v)]
    if not values:
        return
    metric = f"{report.confirm_metric}{report.mark}"
    scale = choose_scale(values, metric, report.direction)
    lost = [f"{row.lacking} diverged" if row.lacking else "" for row in rows]
    figure, axes = new_panel("", lost, _ROW * len(rows) + _REST)
    box = axes.get_position()
    left = 0.2 + _CHARACTER * max(len(row.label) for row in rows)
    left = min(left, 2.0) / figure.get_figwidth()
    axes.set_position((left, box.y0, box.x1 - left, 1 - box.y0 - 0.1 / figure.get_figheight()))
    for place, (row, text) in enumerate(zip(rows, lost, strict=True)):
        colour = colours(report)[row.optimizer]
        shown = scale.show(v for v in row.confirmed.values if math.isfinite(v))
        axes.plot(
            shown,
            [place + _SPREAD * _offset(i) for i in range(len(shown))],
            "o",
            color=colour,
            ms=4,
            mew=0,
            alpha=0.65,
        )
        if math.isfinite(_median(row)):
            (middle,) = scale.show([_median(row)])
            axes.plot([middle, middle], [place - 0.38, place + 0.38], color=INK, lw=1.8)
        if text:
            axes.text(
                1.02, place, text, color=SOFT, va="center", transform=axes.get_yaxis_transform()
            )
    scale.apply(axes, "x")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(scale.title)
    yield Drawn(
        "seeds",
        "results",
        "Every confirmed run, one point per seed; the bar is the median"
        + (", on a logarithmic axis" if scale.log else ""),
        "; ".join(f"{row.label}: median {_median(row):.4g}" for row in rows),
        figure,
    )


def _median(row: ResultRow) -> float:
    assert row.summary is not None  # rows without runs are left out
    return row.summary.median


def _offset(number: int) -> float:
    """Return a place in [-.5, .5) that differs from those before it (van der Corput)."""
    place, part = 0.0, 0.5
    while number:
        place += part * (number & 1)
        number, part = number >> 1, part / 2
    return place - 0.5 + part
