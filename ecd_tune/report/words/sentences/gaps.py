"""Warnings of a report: incomplete searches and confirmations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecd_tune.report.model.rows import ProgressRow, ResultRow
from ecd_tune.spec import StudySpec

__all__ = ["compose_warnings"]


def compose_warnings(
    spec: StudySpec, results: Sequence[ResultRow], progress: Sequence[ProgressRow]
) -> tuple[str, ...]:
    """Name what is incomplete.

    Args:
        spec: The study.
        results: All rows.
        progress: The search of each optimizer.

    Returns:
        Sentences; none for a complete study.
    """
    return (
        *_nothing_searched(spec, progress),
        *_search_warnings(progress),
        *_choices(spec, results),
        *_run_warnings(spec, results),
    )


def _nothing_searched(spec: StudySpec, progress: Sequence[ProgressRow]) -> Iterator[str]:
    optimizers = spec.by_search().optimizers
    fixed = [row.title for row in progress if not optimizers[row.optimizer].space.searched]
    if fixed:
        yield f"No search for {', '.join(fixed)}: all values are fixed, in one trial."


def _choices(spec: StudySpec, results: Sequence[ResultRow]) -> Iterator[str]:
    for row in results if spec.selection.top else ():
        open_ones = [
            own.number for own in row.searches if own.trial is not None and own.selected is None
        ]
        if open_ones:
            yield (
                f"The selection of {row.label} is incomplete: the best trial is still that of the "
                "search."
            )


def _search_warnings(progress: Sequence[ProgressRow]) -> Iterator[str]:
    for row in progress:
        done = row.counts.finished
        if done < row.planned:
            yield f"The search of {row.title} is incomplete: {done} of {row.planned} trials."
        elif done > row.planned:
            yield (
                f"The search of {row.title} has {done} finished trials, more than the "
                f"{row.planned} planned; all are used."
            )
    if len({row.counts.finished for row in progress}) == 1:
        return
    if all(row.counts.finished == row.planned for row in progress):
        sizes = ", ".join(f"{row.title} {row.planned}" for row in progress)
        yield (
            f"The optimizers have different numbers of trials ({sizes}): those with more have an "
            "advantage."
        )
    else:
        yield "Optimizers have different numbers of trials: their comparison is not fair yet."


def _run_warnings(spec: StudySpec, results: Sequence[ResultRow]) -> Iterator[str]:
    if spec.confirmation.runs == 0:
        yield "The study has no confirmation: all numbers were selected by the search."
        return
    for row in results:
        done = len(row.confirmed.runs)
        if row.source == "best" and row.search_trial is None:
            yield f"{row.label} has no complete trial in the search, so nothing can be confirmed."
        elif done < row.planned:
            yield f"The confirmation of {row.label} is incomplete: {done} of {row.planned} runs."
        if row.confirmed.outdated:
            yield (
                f"{row.confirmed.outdated} older confirmation runs of {row.label} used other "
                "hyperparameters and are excluded."
            )
        if row.confirmed.failed:
            yield (
                f"{row.confirmed.failed} confirmation runs of {row.label} failed; they count as "
                "the worst value."
            )
