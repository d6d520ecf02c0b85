"""Write a report's files, each whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ecd_tune.errors import ReportError, UnknownNameError
from ecd_tune.report.model.relations.panels import ScatterPanel
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.data.csv_files import render_csv
from ecd_tune.report.render.data.json_file import render_json
from ecd_tune.report.render.data.parquet_files import render_parquet
from ecd_tune.report.render.html import render_html
from ecd_tune.report.render.latex import render_latex
from ecd_tune.report.render.markdown import render_markdown

if TYPE_CHECKING:
    from ecd_tune.report.render.figures.parts.drawn import Drawn

__all__ = ["DEFAULT_FORMATS", "REPORT_FORMATS", "draw_files", "write_files", "write_report"]

DEFAULT_FORMATS = ("md", "html", "csv", "json")
"""Default formats."""


@dataclass(frozen=True)
class _Source:
    """Input of all formats; figures are drawn on first use."""

    report: StudyReport
    relations: Sequence[ScatterPanel]
    full: bool

    @cached_property
    def figures(self) -> tuple[Drawn, ...]:
        from ecd_tune.report.render.figures.everything import draw_figures  # loads matplotlib

        return draw_figures(self.report, self.relations)


_Files = Mapping[str, str | bytes]


def _markdown(source: _Source) -> _Files:
    shown = [drawn for drawn in source.figures if not drawn.aside]
    return {"report.md": render_markdown(source.report, shown), **_figures(source, "svg", shown)}


def _figures(source: _Source, form: str, shown: Sequence[Drawn] | None = None) -> _Files:
    return draw_files(source.figures if shown is None else shown, form)


def draw_files(figures: Sequence[Drawn], form: str) -> _Files:
    """Make the files of figures.

    Args:
        figures: The figures.
        form: ``"svg"``, ``"pdf"`` or ``"png"``.

    Returns:
        ``figures/NAME.form`` to content.
    """
    from ecd_tune.report.render.figures.parts.drawn import to_pdf, to_png, to_svg

    write: Mapping[str, Callable[[Drawn], str | bytes]]
    write = {"svg": to_svg, "pdf": to_pdf, "png": to_png}
    return {f"figures/{figure.name}.{form}": write[form](figure) for figure in figures}


_RENDERERS: dict[str, Callable[[_Source], _Files]] = {
    "md": _markdown,
    "html": lambda source: {"report.html": render_html(source.report, source.figures)},
    "csv": lambda source: render_csv(source.report),
    "json": lambda source: {"report.json": render_json(source.report, source.full)},
    "latex": lambda source: {"report.tex": render_latex(source.report)},
    "parquet": lambda source: render_parquet(source.report),
    "svg": lambda source: _figures(source, "svg"),
    "pdf": lambda source: _figures(source, "pdf"),
    "png": lambda source: _figures(source, "png"),
}

REPORT_FORMATS = tuple(_RENDERERS)
"""Allowed ``formats``; the last three are the figures as files."""


def write_report(
    report: StudyReport,
    out: Path,
    formats: Sequence[str] = DEFAULT_FORMATS,
    relations: Sequence[ScatterPanel] = (),
    full: bool = False,
) -> list[Path]:
    """Write the report into a folder.

    Each file is written to a temporary file and then renamed, so that a reader sees the old or the
    new file, never a partial one.

    Args:
        report: The model.
        out: Folder; made when it does not exist.
        formats: Some of :data:`REPORT_FORMATS`.
        relations: Relations of the study's checks, for figures.
        full: Put every trial into report.json too.

    Returns:
        The files, in the order written.

    Raises:
        UnknownNameError: There is no such format; nothing is written.
        ReportError: The folder or a file in it cannot be written, or a format needs a package
            that is not installed.
    """
    for name in formats:
        if name not in _RENDERERS:
            raise UnknownNameError("report format", name, REPORT_FORMATS)
    source = _Source(report, relations, full)
    files: dict[str, str | bytes] = {}
    for name in dict.fromkeys(formats):
        files |= _RENDERERS[name](source)
    return write_files(out, files)


def write_files(out: Path, files: _Files) -> list[Path]:
    """Write files into a folder, each whole or not at all.

    Args:
        out: Folder; made when it does not exist.
        files: Relative path to content.

    Returns:
        The files, in the order written.

    Raises:
        ReportError: The folder or a file in it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        return [_replace(out / name, content) for name, content in files.items()]
    except OSError as error:
        raise ReportError(
            f"the report cannot be written to {out} ({error.strerror or error}); "
            "choose a writable folder with --out"
        ) from error


def _replace(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes files that only their owner reads; a report is for others too.
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
