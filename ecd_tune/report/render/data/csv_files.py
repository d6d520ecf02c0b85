"""A report's trials, confirmation runs and curves as CSV; docs/report-fields.md describes them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence

from ecd_tune.records import Scalar, TrialRecord
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.words.numbers import format_scalar

__all__ = ["CONFIRMATION_FIELDS", "CURVE_FIELDS", "TRIAL_FIELDS", "render_csv"]

TRIAL_FIELDS = (
    "study",
    "protocol",
    "oracle",
    "optimizer",
    "stage",
    "number",
    "state",
    "lost",
    "value",
    "seed",
    "source",
    "attempt",
    "reason",
    "cause",
    "seconds",
    "device",
    "energy_kwh",
    "energy_source",
    "carbon_kg",
    "started",
    "completed",
    "worker",
    "data_digest",
    "version",
    "commit",
    "function_digest",
)
"""Columns of trials.csv before one ``param.NAME`` and one ``metric.NAME`` column each."""

CONFIRMATION_FIELDS = (*TRIAL_FIELDS[:9], "current", "confirmed", *TRIAL_FIELDS[9:])
"""Columns of confirmation.csv, before the same further ones."""

CURVE_FIELDS = (
    "study",
    "protocol",
    "oracle",
    "optimizer",
    "source",
    "stage",
    "quantity",
    "step",
    "median",
    "q1",
    "q3",
    "runs",
    "held",
)
"""Columns of curves.csv."""

_Cell = Scalar | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render_csv(report: StudyReport) -> dict[str, str]:
    """Write the three tables.

    Args:
        report: The model.

    Returns:
        File name to text: ``trials.csv``, ``confirmation.csv`` and ``curves.csv``.
    """
    return {
        "trials.csv": _trials(report, report.trials, confirmation=False),
        "confirmation.csv": _trials(report, report.confirmations, confirmation=True),
        "curves.csv": _write(CURVE_FIELDS, _curve_rows(report)),
    }


def _trials(report: StudyReport, records: Sequence[TrialRecord], confirmation: bool) -> str:
    params = sorted({name for record in records for name in record.params})
    metrics = sorted({name for record in records for name in record.metrics})
    fields = CONFIRMATION_FIELDS if confirmation else TRIAL_FIELDS
    header = (*fields, *(f"param.{n}" for n in params), *(f"metric.{n}" for n in metrics))
    current = {
        (run.record.key, run.record.number): run.value
        for row in report.results
        for run in row.confirmed.runs
    }
    rows = []
    for record in records:
        values = {**record.to_dict(), "protocol": report.protocol, "oracle": report.oracle}
        confirmed = current.get((record.key, record.number))
        values |= {"current": confirmed is not None, "confirmed": confirmed}
        cells = [values[name] for name in fields]
        cells += [record.params.get(name) for name in params]
        cells += [record.metrics.get(name) for name in metrics]
        rows.append(cells)
    return _write(header, rows)


def _curve_rows(report: StudyReport) -> Iterator[list[_Cell]]:
    for curve in report.curves:
        band = curve.band
        start: list[_Cell] = [
            report.name,
            report.protocol,
            report.oracle,
            curve.optimizer,
            curve.source,
            curve.stage.value,
            curve.quantity,
        ]
        for step, *values in zip(band.steps, band.median, band.q1, band.q3, strict=True):
            yield [*start, step, *values, band.runs, band.held]


def _write(header: Sequence[str], rows: Iterable[Sequence[_Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: _Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    text = format_scalar(value)
    # A spreadsheet would take the text for a formula, and run it.
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
