"""The first lines of a report: the answer in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ecd_tune.analysis import fewest_pairs
from ecd_tune.records import Direction, Stage
from ecd_tune.report.model.rows import ComparisonRow, ResultRow
from ecd_tune.report.words.numbers import format_number, format_p
from ecd_tune.report.words.sentences.notes import (
    describe_final,
    describe_holding,
    describe_stop,
    show_quantiles,
    state_median,
)
from ecd_tune.report.words.tables.comparison import as_ratio, format_effect, format_margin
from ecd_tune.spec import StudySpec

__all__ = ["compose_answer", "describe_protocol"]


def describe_protocol(spec: StudySpec) -> tuple[bool, str]:
    """Describe the effect of the study's protocol on its numbers.

    Args:
        spec: The study.

    Returns:
        Whether every number is an oracle number, and a sentence.
    """
    if not spec.learns:
        return False, (
            f"Protocol {spec.protocol}. A synthetic task has no test split: a value is the "
            f"{spec.task_def.metric}. The search minimises it from a fixed start; the confirmation "
            "runs the selected hyperparameters from the starts of new seeds."
        )
    if spec.oracle:
        return True, (
            "Protocol paper: every number is an oracle number, a maximum selected on the test "
            "split that is also reported. It is too good, like the paper's numbers, and must not "
            "be compared with numbers of the clean protocol."
        )
    return False, (
        "Protocol clean: every choice uses a validation split; the test split is used once per "
        "confirmation run, after all choices."
    )


def compose_answer(
    spec: StudySpec,
    results: Sequence[ResultRow],
    ranked: Sequence[ResultRow],
    comparisons: Sequence[ComparisonRow],
    winner: str | None,
    oracle: bool,
) -> tuple[str, ...]:
    """Answer which optimizer is best, by how much, and whether that is beyond noise.

    Args:
        spec: The study.
        results: All rows.
        ranked: Those of optimizers with runs, the best first.
        comparisons: All comparisons.
        winner: Key of the optimizer that is ahead of every other one, or None.
        oracle: Whether every number carries that word.

    Returns:
        Sentences.
    """
    mark = " (oracle)" if oracle else ""
    if not ranked:
        return tuple(_answer_from_search(spec, results, mark))
    pairs = [c for c in comparisons if c.family == "optimizers"]
    return tuple(_answer_from_runs(spec, ranked, pairs, winner, mark))


def _answer_from_search(spec: StudySpec, results: Sequence[ResultRow], mark: str) -> Iterator[str]:
    sign = spec.task_def.direction.sign
    found = sorted(
        (sign * row.search_value, row.label, row.search_value)
        for row in results
        if row.search_value is not None
    )
    if not found:
        yield "There is no answer yet: no trial of the search has ended with a value."
        return
    values = ", ".join(f"{label} {format_number(v)}{mark}" for _, label, v in found)
    yield f"There is no confirmed answer yet. Best so far in the search: {values}."
    if all(spec.trials(key) == 1 for key in spec.optimizers):
        yield "Each is a single trial; only runs with several seeds can separate them from noise."
        return
    yield (
        "These values were selected by the search, each the best of many trials; only runs with "
        "new seeds can confirm them."
    )


def _answer_from_runs(
    spec: StudySpec,
    ranked: Sequence[ResultRow],
    pairs: Sequence[ComparisonRow],
    winner: str | None,
    mark: str,
) -> Iterator[str]:
    direction = spec.task_def.direction
    best = next((row for row in ranked if row.optimizer == winner), ranked[0])
    if len(ranked) == 1:
        yield (
            f"{best.label} is the only optimizer with confirmed runs on the task "
            f"“{spec.task_def.title}”."
        )
    elif winner:
        yield _claim(spec, best, ranked, pairs)
    elif math.isinf(_median(best)):
        yield (
            f"No optimizer has a value in half of its runs: {best.label} comes closest, with "
            f"{best.lacking} of {len(best.confirmed.runs)} runs that diverged or failed."
        )
    else:
        yield _no_winner(spec, ranked, pairs, mark)
    yield _medians(spec, ranked, mark)
    if winner:
        yield _against_next(best, ranked, pairs, direction, mark)
    elif behind := [row.label for row in ranked[1:] if _ahead(pairs, best, row)]:
        yield f"Behind {best.label} beyond noise: {', '.join(behind)}."
    yield from _contradictions(pairs)
    yield from _equivalent(spec, pairs, mark)
    yield from filter(None, (describe_final(row, direction, mark) for row in ranked))
    yield from _about_best(spec, best)


def _contradictions(pairs: Sequence[ComparisonRow]) -> Iterator[str]:
    for row in pairs:
        if row.significant and not row.agrees:
            sides = (row.first, row.second)
            favoured, other = sides if row.result.lead > 0 else sides[::-1]
            yield (
                f"{row.first} and {row.second} differ ({_p(row.p_adjusted or 0.0)}), but neither "
                f"is ahead: the test favours {favoured}, and the medians or most seeds {other}."
            )


def _equivalent(spec: StudySpec, pairs: Sequence[ComparisonRow], mark: str) -> Iterator[str]:
    found = [f"{row.first} and {row.second}" for row in pairs if row.equivalent]
    if found:
        margin = format_margin(spec.confirmation.margin, pairs[0].result.log)
        yield f"Equivalent within {margin}{mark}, the margin of the study: {', '.join(found)}."


def _about_best(spec: StudySpec, best: ResultRow) -> Iterator[str]:
    runs = len(best.confirmed.runs)
    if best.stopped > runs / 2:
        yield describe_stop(spec, best)
    if best.held > runs / 2:
        yield describe_holding(best)


def _claim(
    spec: StudySpec, best: ResultRow, ranked: Sequence[ResultRow], pairs: Sequence[ComparisonRow]
) -> str:
    own = [c for c in pairs if best.optimizer in (c.first_optimizer, c.second_optimizer)]
    largest = max(c.p_adjusted for c in own if c.p_adjusted is not None)
    bound = _p(largest)
    if len(pairs) > 1:
        bound = f"{bound.replace('=', '≤')}, corrected for {len(pairs)} comparisons"
    others = "every other optimizer"
    if len(ranked) == 2:
        others = own[0].first if own[0].second_optimizer == best.optimizer else own[0].second
    if len(ranked) < len(spec.optimizers):
        others += " with confirmed runs" if len(ranked) > 2 else ", the only other one confirmed,"
    return (
        f"{best.label} is ahead of {others} beyond noise on the task “{spec.task_def.title}” "
        f"({_seeds(spec, own)}, {bound}); {_covered(spec)}."
    )


def _covered(spec: StudySpec) -> str:
    if spec.search.repeats > 1:
        return "test and interval include the variation between searches and between seeds"
    return (
        "each optimizer was searched once, so the variation between searches is not included "
        "(see [search] repeats)"
    )


def _no_winner(
    spec: StudySpec, ranked: Sequence[ResultRow], pairs: Sequence[ComparisonRow], mark: str
) -> str:
    best = ranked[0]
    level = [best, *(row for row in ranked[1:] if not _ahead(pairs, best, row))]
    keys = {row.optimizer for row in level}
    among = [c for c in pairs if {c.first_optimizer, c.second_optimizer} <= keys]
    labels = [row.label for row in level]
    if any(c.significant and not c.agrees for c in among):
        told = f"{_listed(labels)} cannot be ranked"
    elif all(c.ahead is None for c in among):
        told = f"{_listed(labels)} cannot be told apart"
    else:
        told = f"{best.label}, first in the median, cannot be told apart from {_listed(labels[1:])}"
    return (
        f"No winner on the task “{spec.task_def.title}”: {told} "
        f"({_seeds(spec, among)}{_seen(among, len(pairs), mark)})."
    )


def _ahead(pairs: Sequence[ComparisonRow], one: ResultRow, other: ResultRow) -> bool:
    keys = {one.optimizer, other.optimizer}
    return any(
        c.ahead == one.optimizer for c in pairs if {c.first_optimizer, c.second_optimizer} == keys
    )


def _listed(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:-1])} and {labels[-1]}" if len(labels) > 1 else labels[0]


def _seeds(spec: StudySpec, rows: Sequence[ComparisonRow]) -> str:
    start = spec.task_options(Stage.CONFIRM).get("start") == "uniform"
    runs = _number(sorted({row.result.pairs for row in rows}), "random start" if start else "seed")
    if spec.search.repeats == 1:
        return runs
    searches = _number(sorted({row.result.searches for row in rows}), "search", "searches")
    return f"{searches} of each, {runs} in total"


def _number(counts: Sequence[int], one: str, several: str = "") -> str:
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number} {one if counts == [1] else several or f'{one}s'}"


def _seen(rows: Sequence[ComparisonRow], comparisons: int, mark: str) -> str:
    """State the smallest detectable difference, or that there is none."""
    if not any(row.possible for row in rows):
        if rows[0].result.searches:
            return "; at least two confirmed searches of each are needed"
        needed = fewest_pairs(comparisons)
        return f"; too few: no difference can be beyond noise with fewer than {needed}"
    if all(row.result.ties == row.result.pairs for row in rows):
        return ", with equal values for all"
    sizes = [row.detectable for row in rows]
    if None in sizes or any(row.significant for row in rows):
        return ""
    largest = max(size for size in sizes if size is not None)
    if rows[0].result.log:
        return f"; a factor above {format_number(as_ratio(largest), 2)} would have been detected"
    return f"; a difference above {format_number(largest, 2)}{mark} would have been detected"


def _medians(spec: StudySpec, ranked: Sequence[ResultRow], mark: str) -> str:
    best = ranked[0]
    assert best.summary is not None  # ranked rows have runs
    name = spec.task_def.confirm_metric
    metric = spec.metric if name == "value" else name.replace("_", " ")
    show = show_quantiles(ranked)
    q1, q3 = (show(q) for q in (best.summary.q1, best.summary.q3))
    first = f"{state_median(best, mark, show)}, quartiles {q1} to {q3}"
    if best.reached is not None and math.isfinite(best.reached.median):
        reached = show(best.reached.median)
        first += f", including values before divergence {reached}{mark}"
    others = "; ".join(state_median(row, mark, show) for row in ranked[1:])
    return f"Medians ({metric}): {first}{'; ' if others else ''}{others}."


def _median(row: ResultRow) -> float:
    assert row.summary is not None  # asked of rows with runs only
    return row.summary.median


def _against_next(
    best: ResultRow,
    ranked: Sequence[ResultRow],
    pairs: Sequence[ComparisonRow],
    direction: Direction,
    mark: str,
) -> str:
    other = next(row for row in ranked if row is not best)
    keys = {best.optimizer, other.optimizer}
    row = next(c for c in pairs if {c.first_optimizer, c.second_optimizer} == keys)
    swap = row.first_optimizer != best.optimizer
    wins = row.result.losses if swap else row.result.wins
    return (
        f"Against {other.label}, seed by seed, {best.label} is better for {wins} of "
        f"{row.result.pairs} seeds; its value is {format_effect(row, swap, direction)}{mark}."
    )


def _p(p: float) -> str:
    text = format_p(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
