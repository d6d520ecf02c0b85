"""Number of trials of a search to a target: ease of tuning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecd_tune.records import TrialRecord, TrialState
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.spec import without_number

__all__ = ["Attempts", "count_attempts", "expected_attempts"]


@dataclass(frozen=True)
class Attempts:
    """The trials of one optimizer's search against a target.

    Attributes:
        target: The worst of the best values that the optimizers of the study found, so that each
            of them reaches it.
        reached: Trials that are at least as good.
        trials: All of them that have ended.
        expected: Mean number of trials until the first of those, over all orders.
    """

    target: float
    reached: int
    trials: int
    expected: float


def expected_attempts(trials: int, reached: int) -> float:
    """Return the mean position of the first success among trials in random order.

    Args:
        trials: All trials.
        reached: Those that succeed.

    Returns:
        (N + 1) / (m + 1), the mean of the negative hypergeometric distribution; infinite for
        none.
    """
    return (trials + 1) / (reached + 1) if reached else math.inf


def count_attempts(report: StudyReport, keys: Sequence[str]) -> Mapping[str, Attempts]:
    """Count the trials that reach what all optimizers reach.

    Args:
        report: A study's report.
        keys: Its optimizers that are compared.

    Returns:
        Optimizer key to counts; none where one of them has no complete trial.
    """
    sign = report.direction.sign
    values = {key: _values(report.trials, key, sign) for key in keys}
    best = {key: min(found, default=math.inf) for key, found in values.items()}
    if not best or not all(map(math.isfinite, best.values())):
        return {}
    target = max(best.values())
    return {key: _against(target, found, sign) for key, found in values.items()}


def _against(target: float, values: Sequence[float], sign: int) -> Attempts:
    reached = sum(value <= target for value in values)
    return Attempts(sign * target, reached, len(values), expected_attempts(len(values), reached))


def _values(trials: Sequence[TrialRecord], key: str, sign: int) -> list[float]:
    """Return minimized values, infinite for incomplete trials."""
    return [
        sign * t.value if t.state is TrialState.COMPLETE and t.value is not None else math.inf
        for t in trials
        if without_number(t.key.optimizer) == key and t.counts
    ]
