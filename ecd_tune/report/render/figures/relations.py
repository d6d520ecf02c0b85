"""Measured against predicted: points with error bars, lines with bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from ecd_tune.report.model.relations.panels import Line, Points, ScatterPanel
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.style import (
    GRID,
    INK,
    PALETTE,
    SOFT,
    new_panel,
    number_axis,
)

__all__ = ["draw_relations"]

_MARGIN, _LEGEND = 0.05, 0.17
"""Part of the range on either side, and inches of a line of the legend."""


def draw_relations(panels: Sequence[ScatterPanel]) -> Iterator[Drawn]:
    """Draw what the checks of a study relate.

    Args:
        panels: From the checks.

    Yields:
        One figure per panel.
    """
    labels = list(dict.fromkeys(group.label for panel in panels for group in panel.points))
    colours = {label: PALETTE[k % len(PALETTE)] for k, label in enumerate(labels)}
    for number, panel in enumerate(panels):
        yield Drawn(
            f"theory-{number + 1}",
            "theory",
            f"{panel.title}. {panel.note}",
            f"{panel.y_title} against {panel.x_title}, "
            f"{sum(len(group.x) for group in panel.points)} points.",
            _draw(panel, colours),
        )


def _draw(panel: ScatterPanel, colours: dict[str, str]) -> Figure:
    figure, axes = new_panel(panel.y_title, (), 3.1 + _LEGEND * len(panel.points))
    parts: list[Points | Line] = [*panel.points, *([panel.line] if panel.line else [])]
    for which, log in (("x", panel.log_x), ("y", panel.log_y)):
        values = [v for part in parts for v in getattr(part, which)]
        (axes.set_xlim if which == "x" else axes.set_ylim)(*_limits(values, log))
        number_axis(axes, which, log)
    if panel.line:
        if panel.line.low:
            axes.fill_between(panel.line.x, panel.line.low, panel.line.high, color=GRID, lw=0)
        axes.plot(panel.line.x, panel.line.y, color=INK, lw=1.2)
    for group in panel.points:
        colour = colours[group.label]
        if group.error:
            low = [
                axes.get_ylim()[0] if panel.log_y and y <= e else y - e
                for y, e in zip(group.y, group.error, strict=True)
            ]
            high = [y + e for y, e in zip(group.y, group.error, strict=True)]
            axes.vlines(group.x, low, high, color=colour, lw=0.8, alpha=0.6)
        axes.plot(group.x, group.y, "o", color=colour, ms=3, mew=0, alpha=0.7, label=group.label)
    axes.set_xlabel(panel.x_title)
    box, height = axes.get_position(), figure.get_figheight()
    legend = _LEGEND * len(panel.points) / height
    axes.set_position((box.x0, box.y0 + legend, box.width, box.height - legend))
    figure.legend(
        loc="lower left", bbox_to_anchor=(box.x0, 0.0), frameon=False, labelcolor=SOFT,
        borderpad=0.1, handletextpad=0.2, labelspacing=0.15,
    )  # fmt: skip
    return figure


def _limits(values: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        if high / low < 1.01:
            low, high = low / 2, high * 2
        pad = (high / low) ** _MARGIN
        return low / pad, high * pad
    pad = (high - low or abs(high) or 1.0) * _MARGIN
    return low - pad, high + pad
