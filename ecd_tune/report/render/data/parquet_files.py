"""A report's trials, confirmation runs and curves as Parquet: the tables of the CSV files."""

from __future__ import annotations

import io
from importlib.util import find_spec

from ecd_tune.errors import ReportError
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.data.csv_files import render_csv

__all__ = ["render_parquet"]


def render_parquet(report: StudyReport) -> dict[str, bytes]:
    """Write the three tables.

    Args:
        report: The model.

    Returns:
        File name to content: ``trials.parquet``, ``confirmation.parquet``, ``curves.parquet``.

    Raises:
        ReportError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise ReportError("the format parquet needs pyarrow; run: pip install pyarrow, or use csv")
    import pandas as pd

    files = {}
    for name, text in render_csv(report).items():
        stream = io.BytesIO()
        pd.read_csv(io.StringIO(text)).to_parquet(stream, engine="pyarrow", index=False)
        files[name.replace(".csv", ".parquet")] = stream.getvalue()
    return files
