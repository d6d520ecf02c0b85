"""A report as strict JSON; docs/report-fields.md describes its fields.

JSON has no infinity and no NaN. They become the texts ``"Infinity"``, ``"-Infinity"`` and
``"NaN"``, which Python's ``float``, JavaScript's ``Number`` and pandas read back as numbers.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from ecd_tune.records import TrialRecord
from ecd_tune.report.model.rows import ResultRow, StudyReport
from ecd_tune.spec import number_of

__all__ = ["SCHEMA_VERSION", "render_json", "report_to_dict", "to_plain"]

_TRIALS = ("trials", "confirmations")

SCHEMA_VERSION = 4
"""Rises when a field is renamed, removed or changes its meaning; new fields do not raise it."""


def render_json(report: StudyReport, full: bool = False) -> str:
    """Write the report.

    Args:
        report: The model.
        full: Write every trial too; trials.csv and confirmation.csv have them otherwise.

    Returns:
        Strict JSON, one line for each field and each item of a list of objects, with a newline
        at its end.
    """
    lines = [
        f"{_dump(name)}: {_field(value)}" for name, value in report_to_dict(report, full).items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _field(value: Any) -> str:
    if not (isinstance(value, list) and value and isinstance(value[0], dict)):
        return _dump(value)
    return "[\n" + ",\n".join(map(_dump, value)) + "\n]"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def report_to_dict(report: StudyReport, full: bool = False) -> dict[str, Any]:
    """Turn the report into plain values.

    Args:
        report: The model.
        full: With every trial.

    Returns:
        Content of the JSON file.
    """
    data: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for field in dataclasses.fields(report):
        if field.name in _TRIALS and not full:
            continue
        data[field.name] = to_plain(getattr(report, field.name))
    return data


def to_plain(value: Any) -> Any:
    """Convert frozen values to strict JSON.

    Args:
        value: A dataclass, or a container of them.

    Returns:
        Dictionaries, lists, texts, numbers; infinities and NaN as texts.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, TrialRecord):
        return to_plain(value.to_dict())
    if isinstance(value, ResultRow):
        return _result(value)
    if dataclasses.is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def _result(row: ResultRow) -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(row) if field.name != "confirmed")
    data = {name: to_plain(getattr(row, name)) for name in names}
    # The runs' records are in confirmation.csv, by number.
    data["confirmed"] = {
        "runs": [
            {
                "seed": run.seed,
                "value": to_plain(run.value),
                "reached": to_plain(run.reached),
                "search": number_of(run.record.key.optimizer),
                "number": run.record.number,
            }
            for run in row.confirmed.runs
        ],
        "outdated": row.confirmed.outdated,
        "diverged": row.confirmed.diverged,
        "failed": row.confirmed.failed,
    }
    return data
