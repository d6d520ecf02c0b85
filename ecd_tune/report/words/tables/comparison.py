"""Comparisons seed by seed or search by search, as tables and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ecd_tune.analysis import Interval
from ecd_tune.records import Direction
from ecd_tune.report.model.rows import ComparisonRow, StudyReport
from ecd_tune.report.words.layout import Table
from ecd_tune.report.words.numbers import format_number, format_p, format_within

__all__ = ["as_ratio", "comparison_tables", "format_effect", "format_margin"]


def comparison_tables(report: StudyReport) -> tuple[Table, ...]:
    """Set all pairs of optimizers as a matrix, and ours against the published as a list.

    Args:
        report: The model.

    Returns:
        The non-empty tables.
    """
    pairs = {
        (c.first_optimizer, c.second_optimizer): c
        for c in report.comparisons
        if c.family == "optimizers" and c.result.pairs
    }
    references = [c for c in report.comparisons if c.family == "references" and c.result.pairs]
    note = _note(report)
    tables = []
    if pairs:
        tables.append(_matrix(report, pairs, note))
    if references:
        rows = tuple(tuple(_cells(row)) for row in references)
        header = (
            "First",
            "Second",
            f"First {'over' if report.log else 'minus'} second [95 % interval]{report.mark}",
            "First better at",
            "p (corrected)",
            f"Detectable difference{report.mark}",
        )
        caption = "Our best hyperparameters against the published ones"
        tables.append(Table(caption, header, rows, "" if pairs else note))
    return tuple(tables)


def _matrix(report: StudyReport, pairs: dict[tuple[str, str], ComparisonRow], note: str) -> Table:
    # By rank: each first one comes before its seconds.
    titles = {c.first_optimizer: c.first for c in pairs.values()}
    titles |= {c.second_optimizer: c.second for c in pairs.values()}
    # All cells to the digits of the surest, so that they can be compared.
    sure = min(filter(None, map(_half, pairs.values())), default=None)
    rows = []
    for row, title in titles.items():
        cells = [title]
        for column in titles:
            if found := pairs.get((row, column)):
                cells.append(_effect_cell(found, sure))
            elif found := pairs.get((column, row)):
                cells.append(_test_cell(found))
            else:
                cells.append("–")
        rows.append(tuple(cells))
    unit = "row over column" if report.log else "row minus column"
    return Table(
        f"Every pair of optimizers, each with its own best hyperparameters{report.mark}",
        ("", *titles.values()),
        tuple(rows),
        f"Above the diagonal: {unit}, {_measure(report)} and its 95 % interval. Below it: the "
        f"p-value, with a * for significant differences, and the detectable difference. {note}",
    )


def _measure(report: StudyReport) -> str:
    if _several(report):
        return "the mean over searches"
    return "the Hodges-Lehmann estimate (median of the means of all pairs of seed differences)"


def _several(report: StudyReport) -> bool:
    return any(row.result.searches for row in report.comparisons)


def _half(row: ComparisonRow) -> float | None:
    ends = row.result.effect_interval
    return (ends.high - ends.low) / 2 if ends else None


def _effect_cell(row: ComparisonRow, spread: float | None) -> str:
    result = row.result
    if result.effect is None or math.isinf(result.effect):
        return "no value"
    ends = result.effect_interval
    numbers = [result.effect, *((ends.low, ends.high) if ends else ())]
    if result.log:
        middle, *interval = (f"×{format_number(as_ratio(v), 3)}" for v in numbers)
    elif not spread:
        middle, *interval = (f"{'+' * (v > 0)}{format_number(v, 3)}" for v in numbers)
    else:
        middle, *interval = (f"{'+' * (v > 0)}{format_within(v, spread)}" for v in numbers)
    return middle + (f" [{interval[0]}, {interval[1]}]" if interval else "")


def _test_cell(row: ComparisonRow) -> str:
    star = "*" if row.beyond_noise else ""
    equal = f"; equivalent, p {format_p(row.equivalence_p)}" if row.equivalent else ""
    return f"p {format_p(row.p_adjusted)}{star}; {_detectable(row)}{equal}"


def _detectable(row: ComparisonRow) -> str:
    if not row.possible:
        return "could not be"
    if row.detectable is None:
        return "–"
    if row.result.log:
        return f"from ×{format_number(as_ratio(row.detectable), 2)}"
    return f"from {format_number(row.detectable, 2)}"


def _cells(row: ComparisonRow) -> Iterator[str]:
    yield row.first
    yield row.second
    yield _effect_cell(row, _half(row))
    yield f"{row.result.wins} of {row.result.pairs} seeds"
    yield format_p(row.p_adjusted) + "*" * row.beyond_noise
    yield _detectable(row)


def _note(report: StudyReport) -> str:
    kind = (
        "Values span more than two decades, so pairs are compared by ratio (difference of "
        "logarithms). "
        if report.log
        else ""
    )
    if _several(report):
        return kind + _SEARCHES_NOTE
    within = format_margin(report.margin, report.log)
    margin = (
        f"Equivalent: shown to be within the study's margin of {within} (two one-sided signed-rank "
        "tests, corrected as above). "
        if any(row.equivalence_p is not None for row in report.comparisons)
        else ""
    )
    return (
        f"{kind}Both sides used the same seeds. A diverged run loses against one that did not "
        "diverge; two diverged runs tie. The test is Wilcoxon's signed-rank test, exact up to "
        "1000 seeds, corrected by Holm's method for all comparisons of a table; a difference is "
        "significant if the corrected p is below 0.05. The detectable difference has a power of "
        "80 %, for the spread of these runs and normal differences; “could not be” means that "
        "with so few seeds no p-value can be below 0.05, a dash that runs diverged or that all "
        f"differences are equal. {_contradicted(report)}{margin}The variation between searches is "
        "not included: each optimizer was searched once."
    )


def _contradicted(report: StudyReport) -> str:
    if all(row.agrees or not row.significant for row in report.comparisons):
        return ""
    return (
        "A p-value below 0.05 without a * means that the side which the test favours has the worse "
        "median or is worse for most seeds: neither is ahead. "
    )


_SEARCHES_NOTE = (
    "Each search counts once, by the median of its confirmation runs, so test and interval "
    "include the variation between searches and between seeds. The test is Welch's t over "
    "searches or, if a search has no value in half of its runs, the permutation rank-sum test. It "
    "is corrected by Holm's method for all comparisons of a table; a difference is significant if "
    "the corrected p is below 0.05. It needs two searches per side. How often a side is better is "
    "counted seed by seed, and is not a test."
)


def format_effect(row: ComparisonRow, swap: bool, direction: Direction) -> str:
    """Describe the effect of a comparison.

    Args:
        row: The comparison.
        swap: Tell it from the second side's point of view.
        direction: Whether a smaller or a larger value is better.

    Returns:
        For example ``larger by 0.0120 (Hodges-Lehmann estimate, 95 % interval 0.0041 to 0.0202)``.
    """
    result = row.result
    if result.effect is None:
        return "without common seeds"
    effect = -result.effect if swap else result.effect
    if not math.isfinite(effect):
        side = "the other" if direction.sign * effect < 0 else "it"
        return f"not comparable, because {side} has no value for too many seeds"
    measure = "mean over searches" if result.searches else "Hodges-Lehmann estimate"
    if effect == 0:
        return f"equal ({measure})"
    # Told in the direction of the effect, so that an interval around "3 times smaller" has 3 in it.
    word, flip = ("smaller", True) if effect < 0 else ("larger", False)
    ends = _ends(result.effect_interval, swap != flip)
    size, *span = (_size(v, ends, result.log) for v in (abs(effect), *ends))
    text = f"{size} times {word}" if result.log else f"{word} by {size}"
    interval = f", 95 % interval {span[0]} to {span[1]}" if span else ""
    return f"{text} ({measure}{interval})"


def _size(value: float, ends: tuple[float, ...], log: bool) -> str:
    if log:
        return format_number(as_ratio(value), 3)
    return format_within(value, (ends[1] - ends[0]) / 2) if ends else format_number(value, 3)


def _ends(interval: Interval | None, turned: bool) -> tuple[float, ...]:
    if interval is None:
        return ()
    return (-interval.high, -interval.low) if turned else (interval.low, interval.high)


def format_margin(margin: float | None, log: bool) -> str:
    """Write the margin within which optimizers count as equivalent.

    Args:
        margin: As in the study file.
        log: Whether it is a factor.
    """
    return f"a factor of {format_number(margin, 3)}" if log else f"±{format_number(margin, 3)}"


def as_ratio(exponent: float) -> float:
    """Return 10 to this power.

    Args:
        exponent: A difference of logarithms.

    Returns:
        The ratio; infinite beyond the range of floats.
    """
    # 10 ** 400 overflows; no reader minds whether a ratio is 1e400 or infinite.
    return 10.0**exponent if exponent < 308 else math.inf
