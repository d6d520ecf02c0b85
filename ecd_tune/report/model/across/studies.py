"""Several studies side by side: who is where on each task, and on all of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from ecd_tune.records import Direction
from ecd_tune.report.model.across.attempts import Attempts, count_attempts
from ecd_tune.report.model.across.averages import Average, average_rows
from ecd_tune.report.model.across.printed import (
    PaperResults,
    PrintedValue,
    Scaling,
    fit_scaling,
)
from ecd_tune.report.model.across.profiles import Profile, profile_times
from ecd_tune.report.model.rows import ResultRow, StudyReport

__all__ = ["Across", "Cell", "TaskRow", "compare_studies", "critical_difference"]

_LEVEL = 0.05
_FEWEST_TO_LEAVE_OUT = 3


@dataclass(frozen=True)
class Cell:
    """Results of one optimizer on one task.

    Attributes:
        median: Confirmed median; infinite where at least half of the runs have no value.
        low: Lower end of its 95 % interval; None for fewer than six runs.
        high: Upper end.
        runs: Confirmed runs.
        rank: Among the optimizers that all tasks have, 1 is the best median, ties share their
            mean; None for others.
        seconds: Median time to the task's target, see ``effort`` in a study's report; infinite
            where it is not reached, None where it is not known.
        mean: Mean of the confirmed runs, which is what the paper's tables have; None where one
            of them has no value.
        attempts: Search trials until one is as good as every optimizer gets; None where one of
            them has no complete trial.
        printed: The paper's printed value; None where it does not.
    """

    median: float
    low: float | None
    high: float | None
    runs: int
    rank: float | None
    seconds: float | None
    mean: float | None
    attempts: Attempts | None = None
    printed: PrintedValue | None = None


@dataclass(frozen=True)
class TaskRow:
    """One study.

    Attributes:
        study: Its name.
        title: Its headline.
        metric: The confirmed metric.
        direction: Whether a smaller or a larger value is better.
        protocol: ``paper`` or ``clean``.
        oracle: True when every number is a maximum on the split that is also reported.
        log: Whether values span decades.
        winner: Key of the optimizer that is ahead of every other, or None.
        cells: Optimizer key to its numbers; without those that have no confirmed run.
        settings: Differences of its task from the paper's; empty if none.
    """

    study: str
    title: str
    metric: str
    direction: Direction
    protocol: str
    oracle: bool
    log: bool
    winner: str | None
    cells: Mapping[str, Cell]
    settings: str = ""


@dataclass(frozen=True)
class Across:
    """Studies side by side.

    Attributes:
        titles: Optimizer key to title, of all studies.
        rows: The studies.
        ranked: Keys of the optimizers that all studies have confirmed, by mean rank.
        mean_ranks: Key to mean rank.
        critical: Smallest difference of two mean ranks that is significant at 5 % in Nemenyi's
            test; None for fewer than two tasks or optimizers.
        friedman_p: p-value of Friedman's test that all are equal; None for fewer than three
            optimizers or two tasks.
        slowdowns: Key to each task's time to target over that of the fastest optimizer there;
            infinite where the target is not reached.
        profiles: Key to performance profile of these.
        without: Study to mean ranks over all other studies; none for fewer than three.
        scaling: The paper's Table 5; None where no study is on one of its tasks.
        averages: As its Table 1, by protocol; none where no study is on one of its tasks.
    """

    titles: Mapping[str, str]
    rows: tuple[TaskRow, ...]
    ranked: tuple[str, ...]
    mean_ranks: Mapping[str, float]
    critical: float | None
    friedman_p: float | None
    slowdowns: Mapping[str, tuple[float, ...]]
    profiles: Mapping[str, Profile]
    without: Mapping[str, Mapping[str, float]]
    scaling: Scaling | None
    averages: tuple[Average, ...]

    @property
    def by_rank(self) -> tuple[str, ...]:
        """Keys of all optimizers, those that cannot be ranked last."""
        return (*self.ranked, *(key for key in self.titles if key not in self.ranked))


def compare_studies(reports: Sequence[StudyReport], paper: PaperResults | None = None) -> Across:
    """Compare studies.

    Args:
        reports: Their reports; optimizers are the same where their keys are.
        paper: The paper's printed values for them.

    Returns:
        The comparison.
    """
    found = [_confirmed(report) for report in reports]
    titles = {key: row.title for rows in found for key, row in rows.items()}
    common = [key for key in titles if all(key in rows for rows in found)]
    paper = paper or PaperResults()
    rows = tuple(_row(r, own, common, paper) for r, own in zip(reports, found, strict=True))
    ranks = {key: [row.cells[key].rank or 0.0 for row in rows] for key in common}
    means = {key: math.fsum(values) / len(values) for key, values in ranks.items()}
    enough = len(rows) > 1 and len(common) > 1
    slowdowns = _slowdowns(rows, common)
    return Across(
        titles=titles,
        rows=rows,
        ranked=tuple(sorted(common, key=means.__getitem__)),
        mean_ranks=means,
        critical=critical_difference(len(common), len(rows)) if enough else None,
        friedman_p=_friedman(list(ranks.values())) if enough and len(common) > 2 else None,
        slowdowns=slowdowns,
        profiles=profile_times(slowdowns),
        without=_without_each(rows, common),
        scaling=fit_scaling(paper.scaling) if paper.scaling else None,
        averages=average_rows(rows, paper),
    )


def _confirmed(report: StudyReport) -> dict[str, ResultRow]:
    return {r.optimizer: r for r in report.results if r.source == "best" and r.summary}


def _row(
    report: StudyReport,
    own: Mapping[str, ResultRow],
    common: Sequence[str],
    paper: PaperResults,
) -> TaskRow:
    signed = [report.direction.sign * _median(own[key]) for key in common]
    ranks = dict(zip(common, map(float, stats.rankdata(signed)), strict=True))
    effort = report.effort.rows if report.effort else ()
    seconds = {row.optimizer: row.seconds for row in effort if row.source == "best"}
    attempts = count_attempts(report, tuple(own))
    printed = paper.values.get(report.name, {})
    cells = {
        key: dataclasses.replace(
            _cell(row, ranks.get(key), seconds.get(key)),
            attempts=attempts.get(key),
            printed=printed.get(key),
        )
        for key, row in own.items()
    }
    return TaskRow(
        study=report.name,
        title=report.title,
        metric=report.confirm_metric,
        direction=report.direction,
        protocol=report.protocol,
        oracle=report.oracle,
        log=report.log,
        winner=report.answer.winner,
        cells=cells,
        settings=paper.settings.get(report.name, ""),
    )


def _median(row: ResultRow) -> float:
    assert row.summary is not None  # rows without runs are left out
    return row.summary.median


def _cell(row: ResultRow, rank: float | None, seconds: float | None) -> Cell:
    assert row.summary is not None  # rows without runs are left out
    ends = row.summary.median_interval
    return Cell(
        median=row.summary.median,
        low=ends.low if ends else None,
        high=ends.high if ends else None,
        runs=row.summary.runs,
        rank=rank,
        seconds=seconds,
        mean=row.summary.mean,
    )


def critical_difference(optimizers: int, tasks: int, level: float = _LEVEL) -> float:
    """Return the difference of mean ranks that Nemenyi's test sees (Demšar 2006).

    Args:
        optimizers: Number of them, k.
        tasks: Number of them, N.
        level: Probability that any two equal ones are found different.

    Returns:
        q √(k (k + 1) / (6 N)), q being the quantile of the studentized range for infinitely many
        degrees of freedom over √2.
    """
    q = float(stats.studentized_range.ppf(1 - level, optimizers, math.inf)) / math.sqrt(2)
    return q * math.sqrt(optimizers * (optimizers + 1) / (6 * tasks))


def _friedman(ranks: Sequence[Sequence[float]]) -> float | None:
    if all(len(set(task)) == 1 for task in zip(*ranks, strict=True)):
        return None  # all are level everywhere
    return float(stats.friedmanchisquare(*ranks).pvalue)


def _slowdowns(rows: Sequence[TaskRow], common: Sequence[str]) -> dict[str, tuple[float, ...]]:
    found: dict[str, list[float]] = {key: [] for key in common}
    for row in rows:
        times = {key: row.cells[key].seconds for key in common}
        known = [t for t in times.values() if t is not None and 0 < t < math.inf]
        if known:
            for key, time in times.items():
                found[key].append(math.inf if time is None else time / min(known))
    return {key: tuple(values) for key, values in found.items()}


def _without_each(rows: Sequence[TaskRow], common: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the mean ranks that leaving one study out would give."""
    if len(rows) < _FEWEST_TO_LEAVE_OUT or len(common) < 2:
        return {}
    return {
        left.study: {
            key: math.fsum(row.cells[key].rank or 0.0 for row in rows if row is not left)
            / (len(rows) - 1)
            for key in common
        }
        for left in rows
    }
