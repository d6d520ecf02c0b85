"""Warnings of a report: incomplete searches and confirmations, trials on different data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from ecd_tune.records import Stage, Trials
from ecd_tune.report.model.rows import ProgressRow, ResultRow
from ecd_tune.spec import StudySpec

__all__ = ["compose_warnings"]


def compose_warnings(
    spec: StudySpec,
    results: Sequence[ResultRow],
    progress: Sequence[ProgressRow],
    trials: Trials,
) -> tuple[str, ...]:
    """Name what is incomplete, and what cannot be compared.

    Args:
        spec: The study.
        results: All rows.
        progress: The search of each optimizer.
        trials: Records by study key, of all stages.

    Returns:
        Sentences; none for a complete study.
    """
    return (
        *_different_data(trials),
        *_nothing_searched(spec, progress),
        *_search_warnings(progress),
        *_choices(spec, results),
        *_run_warnings(spec, results),
    )


def _different_data(trials: Trials) -> Iterator[str]:
    """Name the data of trials that should have had the same; a confirmation may have its own.

    Yields:
        A sentence for each stage with several.
    """
    for stage in (Stage.SEARCH, Stage.CONFIRM):
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for key, records in trials.items():
            for record in records if key.data_stage is stage else ():
                if record.counts and record.origin is not None and record.origin.data:
                    found[record.origin.data][key.name] += 1
        if len(found) > 1:
            listed = "; ".join(
                f"{digest}: " + ", ".join(f"{name} {count}" for name, count in names.items())
                for digest, names in found.items()
            )
            yield (
                "Error: trials were run on different data, and their values cannot be compared. "
                f"Trials by the digest of their data: {listed}. Take those with the wrong data out "
                "(ecd-tune invalidate), put the data right on every machine, and run the study "
                "again."
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
