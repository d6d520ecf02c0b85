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
    labels = [
        row.label
        for row in (results if spec.selection.top else ())
        if any(own.trial is not None and own.selected is None for own in row.searches)
    ]
    if labels:
        yield (
            f"The selection of {_listed(labels)} is incomplete: the best trial is still that of "
            "the search."
        )


def _search_warnings(progress: Sequence[ProgressRow]) -> Iterator[str]:
    counts = [(row.title, row.counts.finished, row.planned) for row in progress]
    yield from _incomplete("search", "trials", [c for c in counts if c[1] < c[2]])
    more = [c for c in counts if c[1] > c[2]]
    if len(more) == 1:
        title, done, planned = more[0]
        yield (
            f"The search of {title} has {done} finished trials, more than the {planned} planned; "
            "all are used."
        )
    elif more:
        each = ", ".join(f"{title} {done} of {planned}" for title, done, planned in more)
        yield f"Searches have more finished trials than planned, and all are used: {each}."
    if len({done for _, done, _ in counts}) == 1:
        return
    if all(done == planned for _, done, planned in counts):
        sizes = ", ".join(f"{title} {planned}" for title, _, planned in counts)
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
    empty = [row for row in results if row.source == "best" and row.search_trial is None]
    if empty:
        have = "has" if len(empty) == 1 else "have"
        yield (
            f"{_listed([row.label for row in empty])} {have} no complete trial in the search, so "
            "nothing can be confirmed."
        )
    counts = [(row.label, len(row.confirmed.runs), row.planned) for row in results]
    left = [c for row, c in zip(results, counts, strict=True) if row not in empty and c[1] < c[2]]
    yield from _incomplete("confirmation", "runs", left)
    for how, text, numbers in (
        (
            "older ",
            "used other hyperparameters and are excluded",
            [r.confirmed.outdated for r in results],
        ),
        ("", "failed; they count as the worst value", [r.confirmed.failed for r in results]),
    ):
        labels = [row.label for row, n in zip(results, numbers, strict=True) if n]
        if labels:
            yield f"{sum(numbers)} {how}confirmation runs of {_listed(labels)} {text}."


def _incomplete(stage: str, what: str, counts: Sequence[tuple[str, int, int]]) -> Iterator[str]:
    each = [f"{title} {done} of {planned}" for title, done, planned in counts]
    if len(counts) == 1:
        ((title, done, planned),) = counts
        yield f"The {stage} of {title} is incomplete: {done} of {planned} {what}."
    elif counts:
        yield f"Not every {stage} is complete: {', '.join(each)} {what}."


def _listed(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))
