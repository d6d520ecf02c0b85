"""The model of a report: all that any renderer prints, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecd_tune.records import Direction, Scalar, Stage, TrialRecord
from ecd_tune.report.model.best import BestHyperparameters
from ecd_tune.report.model.circumstances import Cost, Effort, SearchedParam, Setup
from ecd_tune.report.model.theory import Theory

if TYPE_CHECKING:  # these load scipy
    from ecd_tune.analysis import Band, Confirmed, Counts, PairedComparison, ReasonGroup, Summary
    from ecd_tune.report.model.pareto import Pareto
    from ecd_tune.report.model.sensitivity import Sensitivity

__all__ = [
    "SIGNIFICANT",
    "Answer",
    "ComparisonRow",
    "CurveRow",
    "ProgressRow",
    "ResultRow",
    "SearchRow",
    "StudyReport",
]

SIGNIFICANT = 0.05
"""Adjusted p-value below which a difference is beyond noise."""


@dataclass(frozen=True)
class SearchRow:
    """Result of one search of an optimizer.

    Attributes:
        number: Of the search, from 1.
        value: Value of its best trial in the search; None where no trial is complete.
        trial: Number of that trial.
        selected: Mean over the seeds of the selection, which it was chosen by; None without one.
        runs: Confirmation runs of its hyperparameters.
        median: Their median, runs without a value counted as the worst; None without runs.
    """

    number: int
    value: float | None
    trial: int | None
    selected: float | None
    runs: int
    median: float | None


@dataclass(frozen=True)
class ResultRow:
    """Results of one set of hyperparameters.

    Attributes:
        optimizer: Key of the optimizer in the study.
        title: Title in reports.
        source: ``"best"``, or the label of a reference.
        note: Where a reference comes from.
        params: The hyperparameters, those of the best search where there are several; empty when
            no trial of a search is complete.
        search_value: The search's best value; None for references.
        search_trial: Number of that trial, in its search.
        searches: Result of each search; empty for references.
        confirmed: The confirmation runs of all searches.
        planned: How many of them the study asks for, for all searches together.
        summary: Distribution of the confirmed number, diverged and failed runs as the worst.
        reached: The same with the values of diverged runs before divergence; None when no run
            diverged, or nothing was reached.
        final: Distribution of the value at the end of each run, diverged and failed runs as the
            worst; None where the task records none.
        single: Distribution of the confirmed number for the best single epoch's weights, where
            averaged ones are confirmed; None elsewhere.
        stopped: Runs that ECDSep's own stop rule, V < ε2, kept from moving at some steps.
        held: Runs in which the loss was at some steps not above the optimizer's offset.
    """

    optimizer: str
    title: str
    source: str
    note: str
    params: Mapping[str, Scalar]
    search_value: float | None
    search_trial: int | None
    searches: tuple[SearchRow, ...]
    confirmed: Confirmed
    planned: int
    summary: Summary | None
    reached: Summary | None
    final: Summary | None
    single: Summary | None
    stopped: int
    held: int

    @property
    def label(self) -> str:
        """Optimizer and source, as tables and legends print it."""
        return self.title if self.source == "best" else f"{self.title} ({self.source})"

    @property
    def lacking(self) -> int:
        """Runs that diverged or failed."""
        return self.confirmed.diverged + self.confirmed.failed


@dataclass(frozen=True)
class Answer:
    """Which optimizer is best, if any is.

    Attributes:
        winner: Key of the optimizer that is ahead of every other one beyond noise; None where
            there is none, and where no two optimizers have confirmed runs.
        level: Maximal groups of optimizers of which no two differ significantly, by key, in the
            order of their medians; an optimizer may be in several.
        sentences: The same in words.
    """

    winner: str | None
    level: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonRow:
    """One paired comparison.

    Attributes:
        family: ``"optimizers"``, every pair of them, the better median first, or
            ``"references"``; p-values are adjusted within a family.
        first: Label of the side that is compared.
        second: Label of the side it is compared with.
        first_optimizer: Key of the first side's optimizer.
        first_source: Source of the first side.
        second_optimizer: Key of the second side's optimizer.
        second_source: Source of the second side.
        result: Differences are first minus second.
        p_adjusted: Holm-adjusted p-value.
        detectable: Difference that would have been seen with a power of 80 %, in log10 where
            ``result`` is; None where it is not known.
        possible: False if no difference can be significant with so few pairs.
        equivalence_p: Holm-adjusted p-value that both are equivalent within the study's margin;
            None where it states none.
        agrees: False if the side that the test favours has the worse median, or is worse at most
            seeds; then neither side is ahead.
    """

    family: str
    first: str
    second: str
    first_optimizer: str
    first_source: str
    second_optimizer: str
    second_source: str
    result: PairedComparison
    p_adjusted: float | None
    detectable: float | None
    possible: bool
    equivalence_p: float | None = None
    agrees: bool = True

    @property
    def equivalent(self) -> bool:
        """True if the difference is shown to be within the study's margin."""
        return self.equivalence_p is not None and self.equivalence_p < SIGNIFICANT

    @property
    def ahead(self) -> str | None:
        """Key of the optimizer that is ahead beyond noise, or None."""
        if not self.beyond_noise:
            return None
        return self.first_optimizer if self.result.lead > 0 else self.second_optimizer

    @property
    def beyond_noise(self) -> bool:
        """True when the adjusted p-value is below 0.05 and no other measure contradicts."""
        return self.significant and self.agrees

    @property
    def significant(self) -> bool:
        """True when the adjusted p-value is below 0.05."""
        return self.p_adjusted is not None and self.p_adjusted < SIGNIFICANT


@dataclass(frozen=True)
class CurveRow:
    """One quantity against the step, for one set of hyperparameters.

    Attributes:
        optimizer: Key of the optimizer.
        source: ``"best"`` or a reference's label.
        label: As legends print it.
        stage: Confirmation, or search where there is no confirmation yet (the best trial).
        quantity: Name of the curve in the records.
        title: Its description.
        band: Median and quartiles.
    """

    optimizer: str
    source: str
    label: str
    stage: Stage
    quantity: str
    title: str
    band: Band


@dataclass(frozen=True)
class ProgressRow:
    """One search of an optimizer.

    Attributes:
        optimizer: Key of the optimizer.
        search: Number of the search, from 1.
        title: Title in reports.
        counts: Progress of its trials.
        planned: Trials that the budget asks for.
        seconds: Sum of the trials' own wall times.
        elapsed: From the first start to the last end, in seconds; None before any end.
        numbers: Trial numbers, increasing.
        best: Best value up to each of them.
    """

    optimizer: str
    search: int
    title: str
    counts: Counts
    planned: int
    seconds: float
    elapsed: float | None
    numbers: tuple[int, ...]
    best: tuple[float | None, ...]

    @property
    def rate(self) -> float | None:
        """Finished trials per second of elapsed time."""
        return self.counts.finished / self.elapsed if self.elapsed else None


@dataclass(frozen=True)
class StudyReport:
    """A whole report.

    Attributes:
        name: Name of the study.
        task: Key of its task.
        title: Headline.
        summary: Purpose of the study, from its file.
        protocol: ``paper`` or ``clean``.
        oracle: True when every number is a maximum on the split that is also reported.
        protocol_text: Meaning of the protocol for the numbers.
        metric: Description of the search's value.
        confirm_metric: Description of the confirmed number.
        direction: Whether a smaller or a larger value is better.
        log: True when confirmed values span decades and are compared by ratio.
        budget_unit: Unit of a curve's steps.
        margin: Difference, or where ``log`` factor, that does not matter; None where the study
            states none.
        answer: The answer.
        warnings: Warnings: incomplete or unreliable results.
        notes: Notes on the results.
        remarks: Diagnoses of the runs of the search.
        results: The best of each optimizer followed by its references.
        comparisons: Paired comparisons.
        best: Best hyperparameters of each optimizer that has any.
        curves: Curves of each quantity that runs recorded.
        progress: Each search of each optimizer.
        pareto: Value of search trials against cost; None where their costs do not differ.
        effort: Steps, seconds and memory to a target; None where no run has a curve.
        importance: Searched hyperparameters of each optimizer, the most important first.
        sensitivity: Predictions of a model of the trials around each best trial.
        theory: Results of the study's checks of the theory; None where it declares none.
        cost: Hours, energy and carbon.
        setup: The search spaces.
        reasons: Trials that diverged or failed, grouped.
        trials: All search trials.
        confirmations: All confirmation trials, and those of the selection.
        made_from: Digest of its input; empty if not given.
    """

    name: str
    task: str
    title: str
    summary: str
    protocol: str
    oracle: bool
    protocol_text: str
    metric: str
    confirm_metric: str
    direction: Direction
    log: bool
    budget_unit: str
    margin: float | None
    answer: Answer
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    results: tuple[ResultRow, ...]
    comparisons: tuple[ComparisonRow, ...]
    best: tuple[BestHyperparameters, ...]
    curves: tuple[CurveRow, ...]
    progress: tuple[ProgressRow, ...]
    pareto: Pareto | None
    effort: Effort | None
    importance: tuple[SearchedParam, ...]
    sensitivity: tuple[Sensitivity, ...]
    theory: Theory | None
    cost: Cost
    setup: Setup
    reasons: tuple[ReasonGroup, ...]
    trials: tuple[TrialRecord, ...]
    confirmations: tuple[TrialRecord, ...]
    made_from: str = ""

    @property
    def mark(self) -> str:
        """Mark of every number: `` (oracle)`` or nothing."""
        return " (oracle)" if self.oracle else ""
