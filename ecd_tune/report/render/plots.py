"""Figures as plots that Optuna's dashboard shows next to its own.

The dashboard draws JSON for plotly.js, with data and layout. A plot is an empty layout with the SVG
figure as its image, so that no second drawing code and no plotly are needed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import islice
from textwrap import wrap

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.curves import draw_curves
from ecd_tune.report.render.figures.pareto import draw_pareto
from ecd_tune.report.render.figures.parts.drawn import Drawn, compact_svg, to_svg
from ecd_tune.report.render.figures.parts.style import INK, drawing
from ecd_tune.report.render.figures.search import draw_search
from ecd_tune.report.render.figures.seeds import draw_seeds

__all__ = ["PLOT_PREFIX", "render_plots", "to_plotly"]

_TITLE = 70
"""Characters in a line of a title, as many as fit into half of a page."""
PLOT_PREFIX = "ecd-tune-"
"""Prefix of the names of plots."""


def render_plots(report: StudyReport) -> dict[str, str]:
    """Draw the figures that compare all optimizers of the study; the dashboard has no such plots.

    Args:
        report: The model.

    Returns:
        JSON by name of the plot: the confirmation runs, the metric's learning curves, the search
        over all orders of its trials, and value against cost, as far as the report has them.
    """
    with drawing():
        return {f"{PLOT_PREFIX}{drawn.name}": to_plotly(drawn) for drawn in _figures(report)}


def _figures(report: StudyReport) -> Iterator[Drawn]:
    yield from draw_seeds(report)
    yield from islice(draw_curves(report), 1)
    yield from islice(draw_search(report), 1)
    yield from draw_pareto(report)


def to_plotly(drawn: Drawn) -> str:
    """Convert a figure to JSON for plotly.js.

    Args:
        drawn: The figure.

    Returns:
        An object with ``data`` and ``layout``.
    """
    svg = compact_svg(to_svg(drawn)).replace(
        "<style ", "<style>text{font-family:sans-serif}</style><style ", 1
    )
    image = {
        "source": "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode(),
        **{"xref": "paper", "yref": "paper", "x": 0, "y": 1, "sizex": 1, "sizey": 1},
        "sizing": "contain",
    }
    axis = {"visible": False, "fixedrange": True}
    lines = wrap(drawn.caption, _TITLE)
    layout = {
        "title": {"text": "<br>".join(lines), "font": {"size": 13, "color": INK}},
        "images": [image],
        "xaxis": axis,
        "yaxis": axis,
        "margin": {"l": 10, "r": 10, "t": 22 + 18 * len(lines), "b": 10},
    }
    return json.dumps({"data": [], "layout": layout})
