"""Compare the rows of a report with one another, seed by seed or search by search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import Protocol, TypeVar

from ecd_tune.analysis import (
    PairedComparison,
    compare_paired,
    compare_searches,
    holm,
    smallest_detectable,
    smallest_p,
)
from ecd_tune.records import Direction
from ecd_tune.report.model.rows import SIGNIFICANT, ComparisonRow, ResultRow, StudyReport
from ecd_tune.report.model.searches import runs_by_search
from ecd_tune.spec import without_number

__all__ = ["compare_results", "find_groups", "find_winner", "rank_results", "sort_by_rank"]


class _OfOptimizer(Protocol):
    @property
    def optimizer(self) -> str | None: ...


_Row = TypeVar("_Row", bound=_OfOptimizer)


def rank_results(results: Sequence[ResultRow], direction: Direction) -> list[ResultRow]:
    """Order the optimizers by their confirmed median.

    Ties of medians are broken by the share of runs without a value, then by the values before
    divergence, then by the mean, then by the study's order.

    Args:
        results: All rows; references and rows without runs are left out.
        direction: Whether a smaller or a larger value is better.

    Returns:
        The rows of the best hyperparameters, the best first.
    """
    rows = [row for row in results if row.source == "best" and row.summary is not None]
    return sorted(rows, key=lambda row: _rank(row, direction))


def sort_by_rank(report: StudyReport, rows: Iterable[_Row]) -> list[_Row]:
    """Put rows into the order of the optimizers' results.

    Args:
        report: The model.
        rows: Rows of its optimizers or of their searches; rows of one optimizer keep their order.

    Returns:
        First the rows of confirmed optimizers, the best median first, then those of others, the
        best search value first, then rows of no optimizer.
    """
    sign = report.direction.sign
    bests = [row for row in report.results if row.source == "best"]
    bests.sort(key=lambda r: math.inf if r.search_value is None else sign * r.search_value)
    ranked = [*rank_results(report.results, report.direction), *bests]
    order = list(dict.fromkeys(row.optimizer for row in ranked))

    def place(row: _Row) -> int:
        return len(order) if row.optimizer is None else order.index(without_number(row.optimizer))

    return sorted(rows, key=place)


def _rank(row: ResultRow, direction: Direction) -> tuple[float, float, float, float]:
    assert row.summary is not None  # rows without runs are left out before
    reached = row.reached.median if row.reached else row.summary.median
    mean = row.summary.mean if row.summary.mean is not None else direction.sign * math.inf
    return (
        direction.sign * row.summary.median,
        row.lacking / row.summary.runs,
        direction.sign * reached,
        direction.sign * mean,
    )


def compare_results(
    results: Sequence[ResultRow],
    direction: Direction,
    log: bool,
    repeats: int = 1,
    margin: float | None = None,
) -> tuple[ComparisonRow, ...]:
    """Compare every optimizer with every other, and every best with its references.

    Args:
        results: All rows; optimizers without runs are left out.
        direction: Whether a smaller or a larger value is better.
        log: Compare by ratio.
        repeats: Searches of each optimizer; where there are several, they are the unit.
        margin: Irrelevant difference, a factor above 1 if ``log``; ignored for other factors and
            for several searches.

    Returns:
        First the family ``"optimizers"``, then ``"references"``; p-values are adjusted within
        each family.
    """
    ranked = rank_results(results, direction)
    references = [
        (best, row)
        for best in ranked
        for row in results
        if row.source != "best" and row.summary is not None and row.optimizer == best.optimizer
    ]
    compare = _compare_searches if repeats > 1 else partial(_compare_seeds, margin=margin)
    return (
        *_family("optimizers", list(combinations(ranked, 2)), direction, log, compare, repeats),
        *_family("references", references, direction, log, compare, repeats),
    )


def _family(
    name: str,
    pairs: Sequence[tuple[ResultRow, ResultRow]],
    direction: Direction,
    log: bool,
    compare: Callable[[ResultRow, ResultRow, Direction, bool], PairedComparison],
    repeats: int,
) -> Iterator[ComparisonRow]:
    found = [compare(first, second, direction, log) for first, second in pairs]
    p_values = [result.p_value for result in found]
    adjusted = holm(p_values)
    equivalence = holm([result.equivalence_p for result in found])
    for i, ((first, second), result) in enumerate(zip(pairs, found, strict=True)):
        at_best = holm([*p_values[:i], _smallest_p(result, repeats), *p_values[i + 1 :]])[i]
        yield ComparisonRow(
            family=name,
            first=first.label,
            second=second.label,
            first_optimizer=first.optimizer,
            first_source=first.source,
            second_optimizer=second.optimizer,
            second_source=second.source,
            result=result,
            p_adjusted=adjusted[i],
            detectable=smallest_detectable(result.pairs, result.sd, len(pairs)),
            possible=at_best is not None and at_best < SIGNIFICANT,
            equivalence_p=equivalence[i],
            agrees=_agrees(first, second, result, direction),
        )


def _agrees(
    first: ResultRow, second: ResultRow, result: PairedComparison, direction: Direction
) -> bool:
    """Return whether neither the medians nor most seeds contradict the test.

    The signed-rank test weighs a seed by the rank of its difference, so one side can be ahead by
    it although the other has the better median, if their distributions cross.
    """
    one, other = (direction.sign * _median(row) for row in (first, second))
    medians = (one < other) - (one > other)
    return min(result.lead * medians, result.lead * (result.wins - result.losses)) >= 0


def _compare_seeds(
    first: ResultRow,
    second: ResultRow,
    direction: Direction,
    log: bool,
    margin: float | None = None,
) -> PairedComparison:
    if log and margin is not None:
        margin = math.log10(margin) if margin > 1 else None
    return compare_paired(_by_seed(first), _by_seed(second), direction, log=log, margin=margin)


def _compare_searches(
    first: ResultRow, second: ResultRow, direction: Direction, log: bool
) -> PairedComparison:
    one, other = ([*runs_by_search(row).values()] for row in (first, second))
    return compare_searches(one, other, direction, log=log)


def _smallest_p(result: PairedComparison, repeats: int) -> float | None:
    if repeats == 1:
        return smallest_p(result.pairs)
    return 0.0 if result.searches > 1 else None  # Student's t has no smallest one


def _by_seed(row: ResultRow) -> dict[int, float]:
    return {run.seed: run.value for run in row.confirmed.runs if run.seed is not None}


def _median(row: ResultRow) -> float:
    assert row.summary is not None  # only rows with runs are compared
    return row.summary.median


def find_winner(ranked: Sequence[ResultRow], comparisons: Sequence[ComparisonRow]) -> str | None:
    """Return the optimizer that is ahead of every other one beyond noise.

    Args:
        ranked: Optimizers with runs.
        comparisons: All comparisons; the family ``"optimizers"`` counts.

    Returns:
        Its key; None where there is none, or fewer than two optimizers have runs.
    """
    ahead = [c.ahead for c in comparisons if c.family == "optimizers"]
    for row in ranked if len(ranked) > 1 else ():
        has_value = row.summary is not None and math.isfinite(row.summary.median)
        if has_value and ahead.count(row.optimizer) == len(ranked) - 1:
            return row.optimizer
    return None


def find_groups(
    ranked: Sequence[ResultRow], comparisons: Sequence[ComparisonRow]
) -> tuple[tuple[str, ...], ...]:
    """Group the optimizers that cannot be told apart.

    Args:
        ranked: Optimizers with runs, the best first.
        comparisons: All comparisons; the family ``"optimizers"`` counts.

    Returns:
        Maximal groups of which no two differ significantly, as keys in the order of ``ranked``.
    """
    keys = [row.optimizer for row in ranked]
    apart = {
        frozenset((c.first_optimizer, c.second_optimizer))
        for c in comparisons
        if c.family == "optimizers" and c.ahead is not None
    }
    groups: list[tuple[str, ...]] = [()]
    for key in keys:
        # Every group of the earlier ones either takes the key in, or is split by it.
        split = [(g, tuple(k for k in g if frozenset((k, key)) not in apart)) for g in groups]
        found = {g for g, rest in split if rest != g} | {(*rest, key) for _, rest in split}
        groups = [g for g in found if not any(set(g) < set(other) for other in found)]
    return tuple(sorted((g for g in groups if g), key=lambda g: [keys.index(k) for k in g]))
