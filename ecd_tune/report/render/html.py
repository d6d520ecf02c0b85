"""A report as one HTML file: style and figures inside, no script, no requests."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render._templates import environment
from ecd_tune.report.render.figures.parts.drawn import Drawn, inline_svg
from ecd_tune.report.words.layout import Page
from ecd_tune.report.words.sections import build_page

__all__ = ["render_html", "set_html"]


def render_html(report: StudyReport, figures: Sequence[Drawn] = ()) -> str:
    """Write the report of a study, see :func:`set_html`."""
    return set_html(build_page(report), figures)


def set_html(page: Page, figures: Sequence[Drawn] = ()) -> str:
    """Write a report.

    Args:
        page: Its content.
        figures: The figures, each in its section.

    Returns:
        The text of the file.
    """
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            figures=[(drawn, Markup(inline_svg(drawn))) for drawn in figures],
        )
    )
