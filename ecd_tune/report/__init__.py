"""The model of a study's report, and its renderers.

:func:`build_report` turns records into one frozen :class:`StudyReport`; every renderer reads only
that. Names are imported on first use, so that the best hyperparameters print at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecd_tune.report.build import build_report
    from ecd_tune.report.model.across.studies import compare_studies
    from ecd_tune.report.model.best import BestHyperparameters, best_hyperparameters
    from ecd_tune.report.model.rows import StudyReport
    from ecd_tune.report.render.across import (
        COMPARISON_FORMATS,
        comparison_json,
        write_comparison,
    )
    from ecd_tune.report.render.data.best import BEST_FORMATS, best_table, render_best
    from ecd_tune.report.render.data.csv_files import render_csv
    from ecd_tune.report.render.data.json_file import SCHEMA_VERSION, render_json
    from ecd_tune.report.render.files import DEFAULT_FORMATS, REPORT_FORMATS, write_report
    from ecd_tune.report.render.html import render_html
    from ecd_tune.report.render.latex import render_latex
    from ecd_tune.report.render.markdown import render_markdown
    from ecd_tune.report.render.note import NOTE_BEGINS, render_notes
    from ecd_tune.report.render.plots import render_plots
    from ecd_tune.report.render.terminal import render_summary, short_warnings
    from ecd_tune.report.words.numbers import format_number

__all__ = [
    "BEST_FORMATS",
    "COMPARISON_FORMATS",
    "DEFAULT_FORMATS",
    "NOTE_BEGINS",
    "REPORT_FORMATS",
    "SCHEMA_VERSION",
    "BestHyperparameters",
    "StudyReport",
    "best_hyperparameters",
    "best_table",
    "build_report",
    "compare_studies",
    "format_number",
    "render_best",
    "render_csv",
    "render_html",
    "render_json",
    "render_markdown",
    "render_notes",
    "render_plots",
    "render_summary",
    "render_latex",
    "comparison_json",
    "short_warnings",
    "write_comparison",
    "write_report",
]

_MODULES = {
    "build": ("build_report",),
    "model.across.studies": ("compare_studies",),
    "model.best": ("BestHyperparameters", "best_hyperparameters"),
    "model.rows": ("StudyReport",),
    "render.across": ("COMPARISON_FORMATS", "comparison_json", "write_comparison"),
    "render.data.best": ("BEST_FORMATS", "best_table", "render_best"),
    "render.data.csv_files": ("render_csv",),
    "render.files": ("DEFAULT_FORMATS", "REPORT_FORMATS", "write_report"),
    "render.html": ("render_html",),
    "render.latex": ("render_latex",),
    "render.data.json_file": ("SCHEMA_VERSION", "render_json"),
    "render.markdown": ("render_markdown",),
    "render.note": ("NOTE_BEGINS", "render_notes"),
    "render.plots": ("render_plots",),
    "render.terminal": ("render_summary", "short_warnings"),
    "words.numbers": ("format_number",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
