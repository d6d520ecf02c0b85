"""The curves of a report: their runs and axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecd_tune.analysis import curve_band
from ecd_tune.records import METRIC, Stage, StudyKey, TrialRecord
from ecd_tune.report.model.rows import CurveRow, ResultRow, StudyReport
from ecd_tune.spec import StudySpec

__all__ = ["Panel", "collect_curves", "panels_of"]


@dataclass(frozen=True)
class Panel:
    """All curves of one quantity.

    Attributes:
        title: Its title, with the mark of an oracle number if it is one.
        curves: At least one.
    """

    title: str
    curves: tuple[CurveRow, ...]


def panels_of(report: StudyReport) -> tuple[Panel, ...]:
    """Group a report's curves by quantity, in the order in which runs recorded them.

    Args:
        report: The model.

    Returns:
        One panel per quantity; none without curves.
    """
    names = dict.fromkeys(row.quantity for row in report.curves)
    groups = [tuple(row for row in report.curves if row.quantity == name) for name in names]
    return tuple(Panel(f"{rows[0].title}{report.mark}", rows) for rows in groups)


def collect_curves(
    spec: StudySpec,
    trials: Mapping[StudyKey, Sequence[TrialRecord]],
    results: Sequence[ResultRow],
) -> Iterator[CurveRow]:
    """Describe the curves of the confirmed runs, or of the best trial where there are none.

    Args:
        spec: The study.
        trials: Records by study key.
        results: The rows whose runs are described.

    Yields:
        One row per quantity and set of hyperparameters.
    """
    for row in results:
        records = [run.record for run in row.confirmed.runs]
        stage = Stage.CONFIRM
        if not records and row.source == "best":
            stage = Stage.SEARCH
            records = [
                record
                for key, own in zip(spec.searches(row.optimizer), row.searches, strict=True)
                for record in trials.get(spec.key(key), ())
                if record.number == own.trial
            ]
        for name in dict.fromkeys(name for record in records for name in record.curves):
            band = curve_band(records, name)
            if band is not None:
                title = _title(spec, name)
                yield CurveRow(row.optimizer, row.source, row.label, stage, name, title, band)


def _title(spec: StudySpec, name: str) -> str:
    if METRIC not in name:
        return name.replace("train_", "training ").replace("_", " ")
    if not spec.learns:
        return "recorded value"
    split = "test" if spec.oracle else "validation"
    metric = spec.task_def.confirm_metric.removeprefix("test_")
    return name.replace(METRIC, f"{split} {metric}").replace("_", " ")
