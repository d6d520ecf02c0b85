"""Tables on the searches: counts of trials, and value against cost."""

from __future__ import annotations

from collections.abc import Iterator

from ecd_tune.analysis.select import thin_ranked
from ecd_tune.report.model.compare import sort_by_rank
from ecd_tune.report.model.pareto import CostedTrial
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.words.layout import Section, Table
from ecd_tune.report.words.numbers import format_duration, format_number

__all__ = ["search_section"]

_MOST = 6
"""Rows of one optimizer's front, from its cheapest to its best trial."""


def search_section(report: StudyReport) -> Section:
    """Build the section on the searches: their trials, and value against cost.

    Args:
        report: The model.

    Returns:
        The section.
    """
    pruned = any(row.counts.pruned for row in report.progress)
    promoted = any(row.counts.promoted for row in report.progress)
    rows = tuple(
        (
            row.title,
            f"{row.counts.finished} of {row.planned}",
            str(row.counts.complete),
            str(row.counts.diverged),
            *([str(row.counts.pruned)] if pruned else []),
            str(row.counts.failed),
            str(row.counts.lost),
            *([str(row.counts.promoted)] if promoted else []),
            format_duration(row.seconds),
            format_duration(row.elapsed),
            format_number(row.rate, 3),
        )
        for row in sort_by_rank(report, report.progress)
    )
    header = (
        "Optimizer",
        "Finished",
        "Complete",
        "Diverged",
        *(["Pruned"] if pruned else []),
        "Failed",
        "Interrupted",
        *(["Promoted"] if promoted else []),
        "Time in trials",
        "Elapsed",
        "Trials per second",
    )
    note = (
        f"Diverged{', pruned' if pruned else ''} and failed trials count against the budget. "
        "Interrupted attempts were re-queued and do not count."
    )
    if pruned:
        note += " A pruned trial was stopped because it was behind, and is never the best."
    if promoted:
        note += (
            " Promoted attempts were paused at a rung, were among its best, and were continued by "
            "other attempts, which count instead."
        )
    table = Table("Trials of the search", header, rows, note)
    return Section("search", f"Search{report.mark}", tables=(table, *_front_table(report)))


def _front_table(report: StudyReport) -> Iterator[Table]:
    if report.pareto is None:
        return
    keys = dict.fromkeys(t.optimizer for t in sort_by_rank(report, report.pareto.front))
    fronts = [[t for t in report.pareto.front if t.optimizer == key] for key in keys]
    shown = [trial for front in fronts for trial in reversed(thin_ranked(front, _MOST))]
    several = any(trial.search > 1 for trial in shown)
    memory = any(trial.memory_mib is not None for trial in shown)
    header = (
        "Optimizer",
        "Trial",
        f"{report.metric.capitalize()}{report.mark}",
        report.budget_unit.capitalize(),
        "Seconds",
        *(["Peak GPU memory [MiB]"] if memory else []),
    )
    rows = tuple(tuple(_front_cells(trial, several, memory)) for trial in shown)
    seconds = (
        "Seconds: the steps of a trial times the mean time per step of its optimizer."
        if report.pareto.step_seconds
        else "Seconds: the wall time of a trial, or its share if several ran as a batch."
    )
    note = (
        f"At most {_MOST} trials per optimizer, from the cheapest to the best. {seconds} The "
        "value of a pruned trial is the best before its end. These values are optimistic, because "
        "the search selected them."
    )
    title = "Value against cost: trials that no cheaper trial of the same optimizer beats"
    yield Table(title, header, rows, note, aside=True)


def _front_cells(trial: CostedTrial, several: bool, memory: bool) -> Iterator[str]:
    yield trial.title
    yield f"{trial.trial}" + f" of search {trial.search}" * several
    yield format_number(trial.value)
    yield "–" if trial.steps is None else str(trial.steps)
    yield format_number(trial.seconds, 3)
    if memory:
        yield format_number(trial.memory_mib, 3)
