"""A report as Markdown (GitHub's), with its figures as SVG files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.words.layout import Page, Section, Table
from ecd_tune.report.words.sections import build_page

__all__ = ["escape_markdown", "render_markdown", "set_markdown"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


def render_markdown(report: StudyReport, figures: Sequence[Drawn] = ()) -> str:
    """Write the report of a study, see :func:`set_markdown`."""
    return set_markdown(build_page(report), figures)


def set_markdown(page: Page, figures: Sequence[Drawn] = ()) -> str:
    """Write a report.

    Args:
        page: Its content.
        figures: The figures; each is a file ``figures/NAME.svg``.

    Returns:
        The text of the file.
    """
    lines = [
        f"# {escape_markdown(page.title)}",
        "",
        " ".join(map(escape_markdown, page.answer)),
        "",
    ]
    if page.warnings:
        lines += ["**Caution**", ""]
        lines += [*(f"- {escape_markdown(warning)}" for warning in page.warnings), ""]
    if page.summary:
        lines += [escape_markdown(page.summary), ""]
    for section in page.sections:
        lines += _section(section, [d for d in figures if d.section == section.anchor])
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section, figures: Sequence[Drawn]) -> Iterator[str]:
    yield from (f"## {escape_markdown(section.title)}", "")
    for paragraph in section.paragraphs:
        yield from (escape_markdown(paragraph), "")
    if section.code:
        yield from ("```sh", section.code, "```", "")
    for table in section.tables:
        if not table.aside:
            yield from _table(table)
    for drawn in figures:
        yield from (f"![{escape_markdown(drawn.caption)}](figures/{drawn.name}.svg)", "")
        yield from (f"*{escape_markdown(drawn.caption)}.*", "")
    for table in section.tables:
        if table.aside:
            yield from (f"<details><summary>{escape(table.caption)}</summary>", "")
            yield from (*_table(table), "</details>", "")
    for paragraph in section.closing:
        yield from (escape_markdown(paragraph), "")


def _table(table: Table) -> Iterator[str]:
    yield from (f"**{escape_markdown(table.caption)}**", "")
    if table.rows:
        yield _row(map(escape_markdown, table.header))
        yield _row("---:" if right else "---" for right in table.numeric)
        for i, row in enumerate(table.rows):
            cells = map(escape_markdown, row)
            yield _row(f"**{c}**" if (i, j) in table.bold else c for j, c in enumerate(cells))
    else:
        yield "Nothing yet."
    yield ""
    if table.note:
        yield from (escape_markdown(table.note), "")


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escape_markdown(text: str) -> str:
    """Escape a text for Markdown, in one line.

    Args:
        text: Any text.
    """
    # A line break would end a table row or a heading.
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
