"""A report as one self-contained HTML file: style, script and data inside, no requests."""

from __future__ import annotations

import json

from markupsafe import Markup

from ecd_tune.report.model.curves import panels_of
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render._templates import environment
from ecd_tune.report.render.figures.figures import Figure, curve_figure, progress_figure
from ecd_tune.report.render.figures.svg import render_svg
from ecd_tune.report.words.sections import build_sections

__all__ = ["render_html"]


def render_html(report: StudyReport, theory: str = "") -> str:
    """Write the report.

    Args:
        report: The model.
        theory: SVG that draws what the study's checks relate, or empty.

    Returns:
        The text of the file.
    """
    drawn = {"curves": curve_figure(report), "progress": progress_figure(report)}
    figures = {name: figure for name, figure in drawn.items() if figure is not None}
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            sections=build_sections(report),
            figures={name: _embed(figure) for name, figure in figures.items()},
            alternatives=_alternatives(report),
            theory=Markup(theory),
            static=Markup(render_svg(report)) if "curves" in figures else "",
            script=_plotly() if figures else "",
        )
    )


def _alternatives(report: StudyReport) -> dict[str, str]:
    curves = ", ".join(dict.fromkeys(curve.label for curve in report.curves))
    quantities = ", ".join(panel.title for panel in panels_of(report))
    titles = ", ".join(row.title for row in report.progress)
    return {
        "curves": f"Learning curves of {curves}: median and quartile band of {quantities} against "
        f"{report.budget_unit}. The tables below give the medians.",
        "progress": f"Best value so far against the trial number for {titles}. The table of "
        "results gives the last ones.",
    }


def _embed(figure: Figure) -> Markup:
    text = json.dumps(figure, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # "</script>" or "<!--" inside a title would end the element that holds the data.
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())
