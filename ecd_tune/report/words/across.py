"""Studies side by side, in sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ecd_tune.records import Direction
from ecd_tune.report.model.across.attempts import Attempts
from ecd_tune.report.model.across.profiles import MOST_TIMES, Profile
from ecd_tune.report.model.across.studies import Across, Cell, TaskRow
from ecd_tune.report.words.across_paper import paper_sections, scaling_section
from ecd_tune.report.words.layout import Page, Section, Table
from ecd_tune.report.words.numbers import format_number, format_p, format_within, surest

__all__ = ["across_page"]


def across_page(across: Across) -> Page:
    """Lay a comparison of studies out.

    Args:
        across: The comparison.

    Returns:
        Input of Markdown and HTML.
    """
    names = ", ".join(row.study for row in across.rows)
    sections = (
        _results(across),
        *paper_sections(across),
        *([_ranks(across)] if across.ranked else []),
        *([_times(across)] if any(across.slowdowns.values()) else []),
        *([_attempts(across)] if _has_attempts(across) else []),
        *([scaling_section(across.scaling)] if across.scaling else []),
    )
    warnings = tuple(_warnings(across))
    return Page(f"Comparison of {names}", "", tuple(_answer(across)), warnings, sections)


_ARROWS = {Direction.MAXIMIZE: "↑", Direction.MINIMIZE: "↓"}


def _answer(across: Across) -> Iterator[str]:
    for row in across.rows:
        told = f"{across.titles[row.winner]} is ahead of every other" if row.winner else "no winner"
        yield f"{row.title}: {told}."
    if across.critical is None or len(across.ranked) < 2:
        yield "A comparison of ranks needs two optimizers with confirmed runs in two studies."
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
    # The mean ranks of the first and the last differ by at most their number less one.
    few = "; with so few tasks none could be" if across.critical >= len(across.ranked) - 1 else ""
    yield (
        f"Mean ranks over {len(across.rows)} tasks: {ranks}; {told} of {across.critical:.2f} "
        f"(Nemenyi, 5 %{few})."
    )


def _warnings(across: Across) -> Iterator[str]:
    if len({row.oracle for row in across.rows}) > 1:
        yield (
            "Some studies follow the paper's protocol, whose numbers are maxima on the reported "
            "split, and others the clean one: compare only within a row."
        )
    absent = [title for key, title in across.titles.items() if key not in across.ranked]
    if absent:
        yield f"Not ranked, because a study has no confirmed runs of them: {', '.join(absent)}."


def _results(across: Across) -> Section:
    keys, rows, bold = across.by_rank, [], set()
    protocols = {row.protocol for row in across.rows}
    # A column of its own only if they differ: the table is wide enough.
    header = ("Task", "Metric", *(["Protocol"] if len(protocols) > 1 else []))
    for i, row in enumerate(across.rows):
        rows.append(
            (
                row.title,
                f"{row.metric} {_ARROWS[row.direction]}{' (oracle)' * row.oracle}",
                *([row.protocol] if len(protocols) > 1 else []),
                *(_value(row, row.cells.get(key)) for key in keys),
            )
        )
        if row.winner in keys:
            bold.add((i, len(header) + keys.index(row.winner)))
    table = Table(
        "Confirmed medians",
        (*header, *(across.titles[key] for key in keys)),
        tuple(rows),
        "Median over confirmed runs and its 95 % interval (order statistics), each optimizer with "
        "its own best hyperparameters; bold if it is ahead of every other on the task beyond "
        "noise. ↑: larger is better, ↓: smaller is better. "
        f"Protocol: {', '.join(sorted(protocols))}.",
        frozenset(bold),
    )
    return Section("results", "Results", tables=(table,))


def _value(row: TaskRow, cell: Cell | None) -> str:
    if cell is None:
        return "–"
    values = [v for v in (cell.median, cell.low, cell.high) if v is not None]
    if row.log:
        middle, *ends = (format_number(v, 2, "diverged") for v in values)
    else:
        sure = surest(map(_half, row.cells.values()))
        middle, *ends = (format_within(v, sure, "diverged") for v in values)
    return f"{middle} [{', '.join(ends)}]" if ends else middle


def _half(cell: Cell) -> float | None:
    return None if cell.low is None or cell.high is None else (cell.high - cell.low) / 2


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
            f" Nemenyi's critical difference is {across.critical:.2f}: smaller differences between "
            "mean ranks are not significant at 5 %."
        )
    if across.friedman_p is not None:
        note += f" Friedman's test that all are equal: p = {format_p(across.friedman_p)}."
    header = ("Optimizer", "Mean rank", *(row.study for row in across.rows))
    table = Table("Ranks by task", header, rows, note)
    return Section("ranks", "Ranks", tables=(table, *_without(across)))


def _without(across: Across) -> Iterator[Table]:
    if not across.without:
        return
    rows = []
    for study, means in across.without.items():
        order = sorted(across.ranked, key=means.__getitem__)
        first = [key for key in order if means[key] == means[order[0]]]
        rows.append(
            (
                study,
                ", ".join(across.titles[key] for key in first),
                *(f"{means[key]:.2f}" for key in across.ranked),
            )
        )
    titles = (across.titles[key] for key in across.ranked)
    yield Table(
        "Mean ranks without one task",
        ("Left out", "First", *titles),
        tuple(rows),
        "Whether the order depends on a single task: the mean ranks over all other tasks.",
    )


def _times(across: Across) -> Section:
    rows = tuple(
        (
            across.titles[key],
            *(format_number(row.cells[key].seconds, 3, "not reached") for row in across.rows),
            _within(across.slowdowns[key], 2.0),
            _score(across.profiles[key]),
        )
        for key in sorted(across.ranked, key=lambda key: -across.profiles[key].score)
    )
    header = ("Optimizer", *(row.study for row in across.rows), "Within twice the fastest", "Score")
    note = (
        "Seconds of a confirmed run to the value that the median run of every optimizer of the "
        "study reaches, on the machines used. Score: area below the performance profile from 1 to "
        f"{MOST_TIMES:g} times the fastest of a task, as in AlgoPerf, with a 95 % bootstrap "
        "interval over tasks (2000 resamples, three tasks or more). The highest score is first."
    )
    return Section("times", "Time to target", tables=(Table("Seconds", header, rows, note),))


def _score(profile: Profile) -> str:
    if profile.low is None or profile.high is None:
        return f"{profile.score:.2f}"
    return f"{profile.score:.2f} [{profile.low:.2f}, {profile.high:.2f}]"


def _has_attempts(across: Across) -> bool:
    return any(cell.attempts for row in across.rows for cell in row.cells.values())


def _attempts(across: Across) -> Section:
    keys = across.by_rank
    rows = []
    for row in across.rows:
        found = {key: row.cells[key].attempts for key in keys if key in row.cells}
        known = [attempts for attempts in found.values() if attempts is not None]
        if known:
            shown = (_tried(found.get(key)) for key in keys)
            rows.append((row.study, format_number(known[0].target, 4), *shown))
    table = Table(
        "Trials to the target",
        ("Study", "Target", *(across.titles[key] for key in keys)),
        tuple(rows),
        "Target: the search value that every optimizer of the study reaches. Mean number of "
        "trials until the target is reached, over all orders of the trials: (N + 1) / (m + 1) if "
        "m of N trials reach it (in brackets). Fewer trials mean that the optimizer is easier to "
        "tune in this search space.",
    )
    return Section("attempts", "Ease of tuning", tables=(table,))


def _tried(attempts: Attempts | None) -> str:
    if attempts is None:
        return "–"
    return f"{attempts.expected:.1f} ({attempts.reached} of {attempts.trials})"


def _within(ratios: tuple[float, ...], factor: float) -> str:
    return f"{sum(r <= factor and math.isfinite(r) for r in ratios)} of {len(ratios)} tasks"
