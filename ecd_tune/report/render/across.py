"""Write a comparison of studies."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ecd_tune.errors import UnknownNameError
from ecd_tune.report.model.across.studies import Across, Cell
from ecd_tune.report.render.data.json_file import to_plain
from ecd_tune.report.render.files import draw_files, write_files
from ecd_tune.report.render.html import set_html
from ecd_tune.report.render.latex import set_latex
from ecd_tune.report.render.markdown import set_markdown
from ecd_tune.report.words.across import across_page

if TYPE_CHECKING:
    from ecd_tune.report.render.figures.parts.drawn import Drawn

__all__ = ["COMPARISON_FORMATS", "comparison_json", "write_comparison"]

COMPARISON_FORMATS = ("md", "html", "csv", "json", "latex", "svg", "pdf", "png")
"""Allowed ``formats``; the last three are the figures as files."""


def write_comparison(across: Across, out: Path, formats: Sequence[str]) -> list[Path]:
    """Write a comparison into a folder.

    Args:
        across: The comparison.
        out: Folder; made when it does not exist.
        formats: Some of :data:`COMPARISON_FORMATS`.

    Returns:
        The files, in the order written.

    Raises:
        UnknownNameError: There is no such format; nothing is written.
    """
    page = across_page(across)

    @cache
    def figures() -> tuple[Drawn, ...]:
        from ecd_tune.report.render.figures.across import draw_across  # loads matplotlib

        return draw_across(across)

    files: dict[str, str | bytes] = {}
    for name in dict.fromkeys(formats):
        match name:
            case "md":
                files |= {"comparison.md": set_markdown(page, figures())}
                files |= draw_files(figures(), "svg")
            case "html":
                files["comparison.html"] = set_html(page, figures())
            case "csv":
                files["comparison.csv"] = _csv(across)
            case "json":
                files["comparison.json"] = comparison_json(across)
            case "latex":
                files["comparison.tex"] = set_latex(page, "comparison")
            case "svg" | "pdf" | "png":
                files |= draw_files(figures(), name)
            case _:
                raise UnknownNameError("comparison format", name, COMPARISON_FORMATS)
    return write_files(out, files)


def comparison_json(across: Across) -> str:
    """Write a comparison as JSON, with a newline at its end.

    Args:
        across: The comparison.
    """
    return json.dumps(to_plain(across), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(across: Across) -> str:
    """Write one row a task and optimizer."""
    text = io.StringIO()
    nested = ("attempts", "printed")
    names = [field.name for field in dataclasses.fields(Cell) if field.name not in nested]
    more = ("target", "reached", "trials", "expected_attempts", "printed", "printed_mean")
    writer = csv.writer(text, lineterminator="\n")
    told: tuple[str, ...] = ("study", "optimizer", "metric", "direction", "protocol", "oracle")
    writer.writerow([*told, *names, *more])
    for row in across.rows:
        for key, cell in row.cells.items():
            tried, printed = cell.attempts, cell.printed
            numbers = [getattr(cell, name) for name in names]
            numbers += (
                [tried.target, tried.reached, tried.trials, tried.expected] if tried else [None] * 4
            )
            numbers += [printed.value, printed.mean] if printed else [None] * 2
            told = (row.metric, row.direction.value, row.protocol, str(row.oracle).lower())
            writer.writerow([row.study, key, *told, *("" if v is None else v for v in numbers)])
    return text.getvalue()
