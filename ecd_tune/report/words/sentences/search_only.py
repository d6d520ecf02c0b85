"""The best trial of each search, where a study confirms nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.words.layout import Table
from ecd_tune.report.words.numbers import format_number
from ecd_tune.spec import search_key

__all__ = ["search_tables"]


def search_tables(report: StudyReport) -> Iterator[Table]:
    """Show further recorded values of the best trial of each optimizer.

    Args:
        report: The model.

    Yields:
        One table; none where runs are confirmed, or where the task does not learn.
    """
    if any(row.planned for row in report.results):
        return
    split_metric = report.confirm_metric.replace(" ", "_")
    split_metric = split_metric if report.oracle else split_metric.replace("test_", "val_", 1)
    columns = {
        f"single_{split_metric}": f"Best single epoch{report.mark}",
        f"last_{split_metric}": f"Last epoch{report.mark}",
        "train_loss": "Training loss, last epoch",
    }
    best = {
        (search_key(row.optimizer, own.number), own.trial): row.title
        for row in report.results
        for own in row.searches
    }
    found = [
        (best[record.key.optimizer, record.number], record)
        for record in report.trials
        if (record.key.optimizer, record.number) in best
    ]
    shown = [name for name in columns if any(name in record.metrics for _, record in found)]
    if shown:
        header = ("Optimizer", f"Value{report.mark}", *(columns[name] for name in shown))
        rows = tuple(
            (
                title,
                format_number(record.value),
                *(format_number(record.metrics.get(name)) for name in shown),
            )
            for title, record in found
        )
        yield Table("The best trial of each search", header, rows, f"Value: {report.metric}.")
