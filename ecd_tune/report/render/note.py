"""The answer of a report as notes for Optuna's dashboard, one for each optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.markdown import escape_markdown
from ecd_tune.report.words.numbers import format_scalar
from ecd_tune.spec import without_number

__all__ = ["NOTE_BEGINS", "render_notes"]

NOTE_BEGINS = "*Written by ecd-tune; updated with each report.*"


def render_notes(report: StudyReport) -> dict[str, str]:
    """Write the notes.

    Args:
        report: The model.

    Returns:
        Key of each search to Markdown.
    """
    return {row.optimizer: "\n".join(_lines(report, row.optimizer)) for row in report.progress}


def _lines(report: StudyReport, optimizer: str) -> Iterator[str]:
    yield from (NOTE_BEGINS, "", f"### {_escape(report.title)}", "")
    for sentence in (*report.answer.sentences, *report.warnings):
        yield from (_escape(sentence), "")
    key = without_number(optimizer)
    best = next((best for best in report.best if best.optimizer == key), None)
    if best is not None:
        yield from (f"Best trial: {best.trial}", "")
        for line in best.lines:
            yield f"- {_escape(line.name)} = {_escape(format_scalar(line.value))}"
        yield ""
    # A path of `ecd-tune dashboard`; in a plain dashboard there is nothing there.
    yield f"[Report](/fleet/reports/{quote(report.name)}) · [studies and workers](/fleet)"


def _escape(text: str) -> str:
    # The dashboard sets formulas between two dollars.
    return escape_markdown(text).replace("$", "\\$")
