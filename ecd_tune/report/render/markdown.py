"""A report as Markdown (GitHub's), with the learning curves as an SVG file beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.words.layout import Section, Table
from ecd_tune.report.words.sections import build_sections

__all__ = ["render_markdown"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


def render_markdown(report: StudyReport, figure: str = "curves.svg", theory: str = "") -> str:
    """Write the report.

    Args:
        report: The model.
        figure: Name of the file with the learning curves, relative to this one.
        theory: Name of the file that draws what the study's checks relate, or empty.

    Returns:
        The text of the file.
    """
    lines = [f"# {_escape(report.title)}", "", " ".join(map(_escape, report.answer.sentences)), ""]
    if report.warnings:
        lines += ["**To be read with care**", ""]
        lines += [*(f"- {_escape(warning)}" for warning in report.warnings), ""]
    if report.summary:
        lines += [_escape(report.summary), ""]
    pictures = {
        "curves": f"![Learning curves: median and quartile band]({figure})" * bool(report.curves),
        "theory": f"![Measured in each trial against predicted]({theory})" * bool(theory),
    }
    for section in build_sections(report):
        lines += _section(section, pictures)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section, pictures: Mapping[str, str]) -> Iterator[str]:
    yield from (f"## {_escape(section.title)}", "")
    for paragraph in section.paragraphs:
        yield from (_escape(paragraph), "")
    if picture := pictures.get(section.figure):
        yield from (picture, "")
    if section.code:
        yield from ("```sh", section.code, "```", "")
    for table in section.tables:
        yield from _table(table)
    for paragraph in section.closing:
        yield from (_escape(paragraph), "")


def _table(table: Table) -> Iterator[str]:
    yield from (f"**{_escape(table.caption)}**", "")
    if table.rows:
        yield _row(table.header)
        yield _row(["---"] * len(table.header), raw=True)
        yield from map(_row, table.rows)
    else:
        yield "Nothing yet."
    yield ""
    if table.note:
        yield from (_escape(table.note), "")


def _row(cells: tuple[str, ...] | list[str], raw: bool = False) -> str:
    return "| " + " | ".join(c if raw else _escape(c) for c in cells) + " |"


def _escape(text: str) -> str:
    # A line break would end a table row or a heading.
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
