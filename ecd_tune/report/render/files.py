"""Write a report's files, each whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ecd_tune.errors import ReportError, UnknownNameError
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.csv_files import render_csv
from ecd_tune.report.render.figures.svg import render_svg
from ecd_tune.report.render.html import render_html
from ecd_tune.report.render.json_file import render_json
from ecd_tune.report.render.markdown import render_markdown

__all__ = ["REPORT_FORMATS", "write_report"]


def _markdown(report: StudyReport, theory: str) -> dict[str, str]:
    drawn = {"curves.svg": render_svg(report)} if report.curves else {}
    drawn |= {"theory.svg": theory} if theory else {}
    return {"report.md": render_markdown(report, theory="theory.svg" if theory else ""), **drawn}


_RENDERERS: dict[str, Callable[[StudyReport, str], dict[str, str]]] = {
    "md": _markdown,
    "html": lambda report, theory: {"report.html": render_html(report, theory)},
    "csv": lambda report, theory: render_csv(report),
    "json": lambda report, theory: {"report.json": render_json(report)},
}

REPORT_FORMATS = tuple(_RENDERERS)
"""What ``formats`` may name."""


def write_report(
    report: StudyReport,
    out: Path,
    formats: Sequence[str] = REPORT_FORMATS,
    theory: str = "",
) -> list[Path]:
    """Write the report into a folder.

    Each file is written beside its place and then renamed, so that a reader sees the old one
    or the new one, never half of it.

    Args:
        report: The model.
        out: Folder; made when it does not exist.
        formats: Some of :data:`REPORT_FORMATS`.
        theory: Drawing of what the study's checks relate, for ``md`` and ``html``; empty for none.

    Returns:
        The files, in the order written.

    Raises:
        UnknownNameError: There is no such format; nothing is written.
        ReportError: The folder or a file in it cannot be written.
    """
    for name in formats:
        if name not in _RENDERERS:
            raise UnknownNameError("report format", name, REPORT_FORMATS)
    files: dict[str, str] = {}
    for name in dict.fromkeys(formats):
        files |= _RENDERERS[name](report, theory)
    try:
        out.mkdir(parents=True, exist_ok=True)
        return [_replace(out / name, text) for name, text in files.items()]
    except OSError as error:
        raise ReportError(
            f"the report cannot be written to {out} ({error.strerror or error}); "
            "choose a writable folder with --out"
        ) from error


def _replace(path: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # mkstemp makes files that only their owner reads; a report is for others too.
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
