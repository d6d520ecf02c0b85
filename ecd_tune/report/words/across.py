"""Studies side by side, in sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ecd_tune.report.model.across import Across, Cell, TaskRow
from ecd_tune.report.words.layout import Page, Section, Table
from ecd_tune.report.words.numbers import format_number, format_p, format_within

__all__ = ["across_page"]


def across_page(across: Across) -> Page:
    """Lay a comparison of studies out.

    Args:
        across: The comparison.

    Returns:
        What Markdown and HTML set.
    """
    names = ", ".join(row.study for row in across.rows)
    sections = (
        _results(across),
        *([_ranks(across)] if across.ranked else []),
        *([_times(across)] if any(across.slowdowns.values()) else []),
    )
    warnings = tuple(_warnings(across))
    return Page(f"Comparison of {names}", "", tuple(_answer(across)), warnings, sections)


def _answer(across: Across) -> Iterator[str]:
    for row in across.rows:
        told = f"{across.titles[row.winner]} is ahead of every other" if row.winner else "no winner"
        yield f"{row.title}: {told}."
    if across.critical is None or len(across.ranked) < 2:
        yield "A comparison of ranks needs two optimizers that two studies have confirmed."
        return
    means = across.mean_ranks
    ranks = ", ".join(f"{across.titles[k]} {means[k]:.2f}" for k in across.ranked)
    best, *others = across.ranked
    behind = [across.titles[k] for k in others if means[k] - means[best] > across.critical]
    told = (
        f"{', '.join(behind)} are behind {across.titles[best]} by more than the critical difference"
        if behind
        else "none is behind the first by more than the critical difference"
    )
    yield (
        f"Mean ranks over {len(across.rows)} tasks: {ranks}; {told} of {across.critical:.2f} "
        "(Nemenyi, 5 %)."
    )


def _warnings(across: Across) -> Iterator[str]:
    if len({row.oracle for row in across.rows}) > 1:
        yield (
            "Some studies follow the paper's protocol, whose numbers are maxima on the split that "
            "is reported, and others the clean one: compare within a row alone."
        )
    absent = [title for key, title in across.titles.items() if key not in across.ranked]
    if absent:
        yield f"Not ranked, since a study has no confirmed run of them: {', '.join(absent)}."


def _results(across: Across) -> Section:
    keys = [*across.ranked, *(key for key in across.titles if key not in across.ranked)]
    rows, bold = [], set()
    for i, row in enumerate(across.rows):
        rows.append(
            (
                row.title,
                f"{row.metric}, {row.direction.value}{' (oracle)' * row.oracle}",
                row.protocol,
                *(_value(row, row.cells.get(key)) for key in keys),
            )
        )
        if row.winner in keys:
            bold.add((i, 3 + keys.index(row.winner)))
    table = Table(
        "Confirmed medians",
        ("Task", "Metric", "Protocol", *(across.titles[key] for key in keys)),
        tuple(rows),
        "Median over confirmed runs and its 95 % interval (order statistics), each optimizer under "
        "its own best hyperparameters; bold where it is ahead of every other on the task beyond "
        "noise.",
        frozenset(bold),
    )
    return Section("results", "Results", tables=(table,))


def _value(row: TaskRow, cell: Cell | None) -> str:
    if cell is None:
        return "–"
    known = cell.low is not None and cell.high is not None
    values = [cell.median, *((cell.low, cell.high) if known else ())]
    half = (values[2] - values[1]) / 2 if known else None
    if row.log:
        middle, *ends = (format_number(v, 2, "diverged") for v in values)
    else:
        middle, *ends = (format_within(v, half, "diverged") for v in values)
    return f"{middle} [{', '.join(ends)}]" if ends else middle


def _ranks(across: Across) -> Section:
    rows = tuple(
        (
            across.titles[key],
            f"{across.mean_ranks[key]:.2f}",
            *(f"{row.cells[key].rank:g}" for row in across.rows),
        )
        for key in across.ranked
    )
    note = (
        "Ranks of the confirmed medians among the optimizers that all tasks have; ties share one."
    )
    if across.critical is not None:
        note += (
            f" Nemenyi's critical difference is {across.critical:.2f}: mean ranks nearer than that "
            "are not told apart at 5 %."
        )
    if across.friedman_p is not None:
        note += f" Friedman's test that all are alike: p = {format_p(across.friedman_p)}."
    header = ("Optimizer", "Mean rank", *(row.study for row in across.rows))
    return Section("ranks", "Ranks", tables=(Table("Ranks by task", header, rows, note),))


def _times(across: Across) -> Section:
    rows = tuple(
        (
            across.titles[key],
            *(format_number(row.cells[key].seconds, 3, "not reached") for row in across.rows),
            _within(across.slowdowns[key], 2.0),
        )
        for key in across.ranked
    )
    header = ("Optimizer", *(row.study for row in across.rows), "Within twice the fastest")
    note = (
        "Seconds of a confirmed run to the value that the median run of every optimizer of the "
        "study reaches (`effort` in its report), on the machines where they ran."
    ).replace("`", "")
    return Section("times", "Time to target", tables=(Table("Seconds", header, rows, note),))


def _within(ratios: tuple[float, ...], factor: float) -> str:
    return f"{sum(r <= factor and math.isfinite(r) for r in ratios)} of {len(ratios)} tasks"
