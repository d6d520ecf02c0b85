"""Select from stored trials: the best of a search, and its confirmation runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ecd_tune.records import Cause, Direction, Params, TrialRecord, TrialState

__all__ = [
    "Confirmed",
    "Counts",
    "RunValue",
    "best_so_far",
    "best_trial",
    "confirmed_runs",
    "count_trials",
    "rank_trials",
    "same_params",
    "thin_ranked",
    "tie_break",
]

Item = TypeVar("Item")


def best_trial(records: Iterable[TrialRecord], direction: Direction) -> TrialRecord | None:
    """Pick the best complete trial.

    A trial that diverged is never the best, however good the value before its end.

    Args:
        records: Trials of one search.
        direction: Whether a smaller or a larger value is better.

    Returns:
        The complete trial with the best value; of equal ones that with the lowest validation
        loss, then that with the smallest number. None when there is no complete trial.
    """
    ranked = rank_trials(records, direction)
    return ranked[0] if ranked else None


def rank_trials(records: Iterable[TrialRecord], direction: Direction) -> list[TrialRecord]:
    """Order the complete trials.

    Args:
        records: Trials of one search.
        direction: Whether a smaller or a larger value is better.

    Returns:
        The complete trials, the best first; ties are broken as by :func:`best_trial`.
    """
    ranked = [
        (direction.sign * v, tie_break(r), r.number, r)
        for r in records
        if (v := _ranked(r)) is not None
    ]
    return [entry[3] for entry in sorted(ranked, key=lambda entry: entry[:3])]


def thin_ranked(ranked: Sequence[Item], most: int) -> list[Item]:
    """Choose trials to be drawn, evenly by rank.

    Args:
        ranked: Trials or their representatives, the best first.
        most: How many at most, at least two.

    Returns:
        From the worst to the best, both included.
    """
    if len(ranked) <= most:
        return [*reversed(ranked)]
    step = (len(ranked) - 1) / (most - 1)
    return [ranked[round(place * step)] for place in reversed(range(most))]


def tie_break(record: TrialRecord) -> float:
    """Return the tie-breaker of trials with equal values: the loss on the evaluation split.

    Args:
        record: A trial.

    Returns:
        Its loss; infinite where none is recorded.
    """
    losses = (record.metrics.get(f"{split}_loss") for split in ("val", "test"))
    return next((loss for loss in losses if loss is not None), math.inf)


def _ranked(record: TrialRecord) -> float | None:
    complete = record.state is TrialState.COMPLETE and not record.lost
    return record.value if complete else None


def best_so_far(
    records: Iterable[TrialRecord], direction: Direction
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """Return the best value after each trial of a search.

    Args:
        records: Trials of one search, in any order.
        direction: Whether a smaller or a larger value is better.

    Returns:
        Numbers of the trials that count against the budget, increasing, and the best complete
        value up to each of them; None before the first complete one.
    """
    numbers: list[int] = []
    values: list[float | None] = []
    best: float | None = None
    for record in sorted((r for r in records if r.counts), key=lambda r: r.number):
        value = _ranked(record)
        if value is not None:
            better = best is None or direction.sign * (value - best) < 0
            best = value if better else best
        numbers.append(record.number)
        values.append(best)
    return tuple(numbers), tuple(values)


@dataclass(frozen=True)
class Counts:
    """Progress of the trials of one stage.

    Attributes:
        complete: Ended with a value.
        diverged: Left the finite numbers (state PRUNED).
        pruned: Ended by a pruner, behind the others (state PRUNED too).
        failed: No value at all (state FAIL), interrupted attempts not counted.
        lost: Interrupted attempts whose parameters were queued again.
        promoted: Attempts that were paused at a rung, and that another one continues.
        running: Under way.
        waiting: Queued.
    """

    complete: int = 0
    diverged: int = 0
    failed: int = 0
    lost: int = 0
    running: int = 0
    waiting: int = 0
    pruned: int = 0
    promoted: int = 0

    @property
    def finished(self) -> int:
        """Trials that count against the budget."""
        return self.complete + self.diverged + self.pruned + self.failed


_FIELD = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "diverged",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def count_trials(records: Iterable[TrialRecord]) -> Counts:
    """Count trials by how they ended.

    Args:
        records: Trials of one stage.

    Returns:
        The counts; every record is counted exactly once.
    """
    counts = dict.fromkeys((*_FIELD.values(), "lost", "promoted", "pruned"), 0)
    for record in records:
        ended = "pruned" if record.pruned else _FIELD[record.state]
        left_out = "promoted" if record.cause is Cause.PROMOTED else "lost"
        counts[left_out if record.lost else ended] += 1
    return Counts(**counts)


def same_params(one: Params, other: Params) -> bool:
    """Return whether two sets of hyperparameters are the same.

    Numbers are compared by value, so that 1 equals 1.0 after a round trip through a database;
    true and 1 differ.

    Args:
        one: Hyperparameters by name.
        other: Hyperparameters by name.

    Returns:
        True when names and values agree.
    """
    return one.keys() == other.keys() and all(
        isinstance(value, bool) is isinstance(other[name], bool) and value == other[name]
        for name, value in one.items()
    )


@dataclass(frozen=True)
class RunValue:
    """The number of one confirmation run.

    Attributes:
        seed: Seed of the run; None where it was not stored.
        value: The confirmed number; the worst one, plus or minus infinity, when the run
            diverged or failed.
        reached: The number including what a run reached before it diverged; None without any.
        record: The stored trial.
    """

    seed: int | None
    value: float
    reached: float | None
    record: TrialRecord


@dataclass(frozen=True)
class Confirmed:
    """The confirmation runs of one set of hyperparameters.

    Attributes:
        runs: Finished runs, one a seed, by seed.
        outdated: Finished runs of the same source with other hyperparameters, left out.
        diverged: How many of ``runs`` diverged.
        failed: How many of ``runs`` failed, or lack the confirmed number.
    """

    runs: tuple[RunValue, ...] = ()
    outdated: int = 0
    diverged: int = 0
    failed: int = 0

    @property
    def values(self) -> tuple[float, ...]:
        """The runs' numbers, infinite for those that did not end well."""
        return tuple(run.value for run in self.runs)


def confirmed_runs(
    records: Sequence[TrialRecord],
    source: str,
    params: Params | None,
    metric: str,
    direction: Direction,
) -> Confirmed:
    """Collect the confirmation runs that belong to one set of hyperparameters.

    Args:
        records: All confirmation trials of one optimizer.
        source: ``"best"`` or a reference's label.
        params: The hyperparameters that count; None leaves out all runs.
        metric: ``"value"`` or a key of the records' metrics.
        direction: Which infinity is the worst value.

    Returns:
        The runs. Where a seed was run twice the first one counts.
    """
    finished = sorted((r for r in records if r.counts and r.source == source), key=_by_number)
    chosen: dict[tuple[str, int], TrialRecord] = {}
    outdated = 0
    for record in finished:
        if params is None or not same_params(record.params, params):
            outdated += 1
            continue
        kind = ("number", record.number) if record.seed is None else ("seed", record.seed)
        chosen.setdefault(kind, record)
    runs = tuple(_run_value(r, metric, direction) for _, r in sorted(chosen.items()))
    diverged = sum(run.record.state is TrialState.PRUNED for run in runs)
    lacking = sum(math.isinf(run.value) for run in runs)
    return Confirmed(runs, outdated, diverged, lacking - diverged)


def _by_number(record: TrialRecord) -> int:
    return record.number


def _run_value(record: TrialRecord, metric: str, direction: Direction) -> RunValue:
    number = record.value if metric == "value" else record.metrics.get(metric)
    reached = number if number is not None and math.isfinite(number) else None
    ended_well = record.state is TrialState.COMPLETE and reached is not None
    value = reached if ended_well and reached is not None else direction.sign * math.inf
    return RunValue(record.seed, value, reached, record)
