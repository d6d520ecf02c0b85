"""Build the model of a report from a study and its records."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ecd_tune.analysis import (
    ChosenTrial,
    Confirmed,
    Summary,
    best_so_far,
    count_trials,
    group_reasons,
    mean_interval,
    quantile,
    spans_decades,
    summarise,
)
from ecd_tune.records import Direction, Params, Stage, TrialRecord, Trials
from ecd_tune.report.model.best import BestHyperparameters, best_hyperparameters
from ecd_tune.report.model.compare import (
    compare_results,
    find_groups,
    find_winner,
    rank_results,
)
from ecd_tune.report.model.costs import sum_costs
from ecd_tune.report.model.curves import collect_curves
from ecd_tune.report.model.effort import measure_effort
from ecd_tune.report.model.importance import rank_hyperparameters
from ecd_tune.report.model.pareto import find_pareto
from ecd_tune.report.model.rows import (
    Answer,
    ComparisonRow,
    ProgressRow,
    ResultRow,
    SearchRow,
    StudyReport,
)
from ecd_tune.report.model.searches import (
    chosen_trials,
    collect_runs,
    pool_searches,
    runs_by_search,
)
from ecd_tune.report.model.sensitivity import describe_sensitivity
from ecd_tune.report.model.theory import describe_theory
from ecd_tune.report.words.sentences.answer import compose_answer, describe_protocol
from ecd_tune.report.words.sentences.gaps import compose_warnings
from ecd_tune.report.words.sentences.notes import compose_notes
from ecd_tune.report.words.sentences.remarks import compose_remarks
from ecd_tune.report.words.tables.setup import describe_setup
from ecd_tune.spec import StudySpec, number_of, without_number

if TYPE_CHECKING:
    from ecd_tune.analysis.checks import StudyCheckResult

__all__ = ["build_report"]


def build_report(
    spec: StudySpec,
    trials: Trials,
    environment: Mapping[str, str] | None = None,
    checked: Sequence[StudyCheckResult] = (),
    made_from: str = "",
) -> StudyReport:
    """Build the report of a study, finished or not.

    Args:
        spec: The study.
        trials: Records by study key, of both stages; a missing key has no trials.
        environment: Host, processor and versions, name to words.
        checked: Results of the study's checks of the theory.
        made_from: Digest of study and trials, by which a report is known to be current.

    Returns:
        The report.
    """
    task, pooled, searches = spec.task_def, pool_searches(spec, trials), spec.by_search()
    best = best_hyperparameters(spec, trials)
    results = tuple(_results(spec, trials, best))
    log = spans_decades([value for row in results for value in row.confirmed.values])
    results = tuple(map(_without_mean_interval, results)) if log else results
    repeats, margin = spec.search.repeats, spec.confirmation.margin
    comparisons = tuple(compare_results(results, task.direction, log, repeats, margin))
    progress = tuple(_progress(searches, trials, key) for key in searches.optimizers)
    oracle, protocol_text = describe_protocol(spec)
    search = tuple(r for key in spec.optimizers for r in pooled.get(spec.key(key), ()))
    confirm = tuple(
        r
        for key in spec.optimizers
        for stage in (Stage.SELECT, Stage.CONFIRM)
        for r in pooled.get(spec.key(key, stage), ())
    )
    return StudyReport(
        name=spec.name,
        task=spec.task.name,
        title=spec.title or f"{spec.name}: {task.title}",
        summary=spec.summary,
        protocol=spec.protocol,
        oracle=oracle,
        protocol_text=protocol_text,
        metric=spec.metric,
        confirm_metric=_confirm_metric(spec),
        direction=task.direction,
        log=log,
        budget_unit=task.budget_unit,
        margin=margin,
        answer=_answer(spec, results, comparisons, oracle),
        warnings=compose_warnings(spec, results, progress, trials),
        notes=compose_notes(spec, results, oracle),
        remarks=compose_remarks(spec, pooled, best, results),
        results=results,
        comparisons=comparisons,
        best=best,
        curves=tuple(collect_curves(spec, trials, results)),
        progress=progress,
        pareto=find_pareto(spec, pooled),
        effort=measure_effort(results, task.direction),
        importance=tuple(rank_hyperparameters(spec, pooled)),
        sensitivity=tuple(describe_sensitivity(spec, pooled, best)),
        theory=describe_theory(spec, trials, checked),
        cost=sum_costs(spec, pooled),
        setup=describe_setup(spec, (*search, *confirm), environment or {}),
        reasons=group_reasons((*search, *confirm)),
        trials=search,
        confirmations=confirm,
        made_from=made_from,
    )


def _smoke_warning(spec: StudySpec) -> Iterator[str]:
    if spec.smoke:
        yield (f"This is a smoke run, which only shows that the study runs: {spec.smoke}.")


def _confirm_metric(spec: StudySpec) -> str:
    name = spec.task_def.confirm_metric
    return spec.metric if name == "value" else name.replace("_", " ")


def _answer(
    spec: StudySpec,
    results: Sequence[ResultRow],
    comparisons: Sequence[ComparisonRow],
    oracle: bool,
) -> Answer:
    ranked = rank_results(results, spec.task_def.direction)
    winner = find_winner(ranked, comparisons)
    said = compose_answer(spec, results, ranked, comparisons, winner, oracle)
    return Answer(winner, find_groups(ranked, comparisons), (*_smoke_warning(spec), *said))


def _results(
    spec: StudySpec, trials: Trials, best: Sequence[BestHyperparameters]
) -> Iterator[ResultRow]:
    found = {entry.optimizer: entry for entry in best}
    for key, optimizer in spec.optimizers.items():
        entry, chosen = found.get(key), chosen_trials(spec, trials, key)
        own = {
            search: chosen[search].record.params if search in chosen else None
            for search in spec.searches(key)
        }
        row = _result(spec, trials, key, "best", own, "", entry)
        yield dataclasses.replace(row, searches=tuple(_searches(row, own, chosen)))
        for reference in optimizer.references if spec.confirmation.references else ():
            given = dict.fromkeys(own, reference.params)
            row = _result(spec, trials, key, reference.label, given, reference.note, None)
            yield dataclasses.replace(row, params=dict(reference.params))


def _result(
    spec: StudySpec,
    trials: Trials,
    key: str,
    source: str,
    params: Mapping[str, Params | None],
    note: str,
    entry: BestHyperparameters | None,
) -> ResultRow:
    """Describe what one set of hyperparameters gave, or the best one of each search."""
    task, optimizer = spec.task_def, spec.optimizers[key]

    def collect(metric: str) -> Confirmed:
        return collect_runs(spec, trials, source, params, metric)

    runs = collect(task.confirm_metric)
    worst = task.direction.sign * math.inf
    reached = [worst if run.reached is None else run.reached for run in runs.runs]
    row = ResultRow(
        optimizer=key,
        title=optimizer.title or optimizer.definition.title,
        source=source,
        note=note,
        params=dict(entry.values) if entry else {},
        search_value=entry.value if entry else None,
        search_trial=entry.trial if entry else None,
        searches=(),
        confirmed=runs,
        planned=spec.confirmation.runs * spec.search.repeats,
        summary=summarise(runs.values, task.direction) if runs.runs else None,
        reached=summarise(reached, task.direction) if tuple(reached) != runs.values else None,
        final=_beside("final", collect, task.direction),
        single=_beside(f"single_{task.confirm_metric}", collect, task.direction),
        stopped=_count_runs(runs, "converged_steps"),
        held=_count_runs(runs, "held"),
    )
    return _by_searches(row) if spec.search.repeats > 1 else row


def _by_searches(row: ResultRow) -> ResultRow:
    """Replace intervals over runs, which are not independent, by intervals over searches."""
    if row.summary is None:
        return row
    medians = [quantile([*runs.values()], 0.5) for runs in runs_by_search(row).values()]
    interval = mean_interval(medians)
    summary = dataclasses.replace(row.summary, median_interval=interval, mean_interval=None)
    return dataclasses.replace(row, summary=summary)


def _searches(
    row: ResultRow, searches: Iterable[str], chosen: Mapping[str, ChosenTrial]
) -> Iterator[SearchRow]:
    runs = runs_by_search(row)
    for key in searches:
        own, found = runs.get(key, {}), chosen.get(key)
        yield SearchRow(
            number=number_of(key),
            value=found.record.value if found else None,
            trial=found.record.number if found else None,
            selected=found.selected if found else None,
            runs=len(own),
            median=quantile([*own.values()], 0.5) if own else None,
        )


def _without_mean_interval(row: ResultRow) -> ResultRow:
    """Drop Student's interval, which is not valid if the values span decades."""
    if row.summary is None:
        return row
    return dataclasses.replace(row, summary=dataclasses.replace(row.summary, mean_interval=None))


def _beside(
    metric: str, collect: Callable[[str], Confirmed], direction: Direction
) -> Summary | None:
    """Summarise a number that is shown next to the confirmed one.

    Returns:
        None where no run has recorded it.
    """
    runs = collect(metric)
    recorded = any(metric in run.record.metrics for run in runs.runs)
    return summarise(runs.values, direction) if recorded else None


def _count_runs(runs: Confirmed, counter: str) -> int:
    return sum(run.record.metrics.get(counter, 0) > 0 for run in runs.runs)


def _progress(spec: StudySpec, trials: Trials, key: str) -> ProgressRow:
    records = trials.get(spec.key(key), ())
    numbers, best = best_so_far(records, spec.task_def.direction)
    optimizer = spec.optimizers[key]
    return ProgressRow(
        optimizer=without_number(key),
        search=number_of(key),
        title=optimizer.title or optimizer.definition.title,
        counts=count_trials(records),
        planned=spec.trials(key),
        seconds=math.fsum(record.cost.seconds for record in records),
        elapsed=_elapsed(records),
        numbers=numbers,
        best=best,
    )


def _elapsed(records: Sequence[TrialRecord]) -> float | None:
    starts: list[datetime] = [r.started for r in records if r.started is not None]
    ends: list[datetime] = [r.completed for r in records if r.completed is not None]
    return (max(ends) - min(starts)).total_seconds() if starts and ends else None
