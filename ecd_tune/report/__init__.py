"""The model of a study's report, and its renderers.

:func:`build_report` turns records into one frozen :class:`StudyReport`; every renderer reads
that alone. Names are imported on first use, so that the best hyperparameters print at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecd_tune.report.answer import find_winner
    from ecd_tune.report.best import (
        BEST_FORMATS,
        BestHyperparameters,
        best_hyperparameters,
        best_table,
        render_best,
    )
    from ecd_tune.report.build import build_report
    from ecd_tune.report.export import SCHEMA_VERSION, render_json
    from ecd_tune.report.html import render_html
    from ecd_tune.report.markdown import render_markdown
    from ecd_tune.report.model import StudyReport
    from ecd_tune.report.numbers import format_number
    from ecd_tune.report.svg import render_svg
    from ecd_tune.report.table import render_csv
    from ecd_tune.report.terminal import render_summary
    from ecd_tune.report.write import REPORT_FORMATS, write_report

__all__ = [
    "BEST_FORMATS",
    "REPORT_FORMATS",
    "SCHEMA_VERSION",
    "BestHyperparameters",
    "StudyReport",
    "best_hyperparameters",
    "best_table",
    "build_report",
    "find_winner",
    "format_number",
    "render_best",
    "render_csv",
    "render_html",
    "render_json",
    "render_markdown",
    "render_summary",
    "render_svg",
    "write_report",
]

_MODULES = {
    "answer": ("find_winner",),
    "best": (
        "BEST_FORMATS",
        "BestHyperparameters",
        "best_hyperparameters",
        "best_table",
        "render_best",
    ),
    "build": ("build_report",),
    "export": ("SCHEMA_VERSION", "render_json"),
    "html": ("render_html",),
    "markdown": ("render_markdown",),
    "model": ("StudyReport",),
    "numbers": ("format_number",),
    "svg": ("render_svg",),
    "table": ("render_csv",),
    "terminal": ("render_summary",),
    "write": ("REPORT_FORMATS", "write_report"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
