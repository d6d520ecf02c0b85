"""Choose a search's best trial, after its best ones ran again under other seeds where asked for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ecd_tune.analysis.select import rank_trials, same_params, tie_break
from ecd_tune.records import Direction, TrialRecord, TrialState

__all__ = ["ChosenTrial", "best_trials", "choose_trial"]


@dataclass(frozen=True)
class ChosenTrial:
    """The selected trial of a search.

    Attributes:
        record: The trial of the search.
        selected: Mean of its metric over the selection's seeds; None where there was no
            selection, or where it is not complete, so that another trial may be chosen yet.
    """

    record: TrialRecord
    selected: float | None = None


def best_trials(search: Sequence[TrialRecord], top: int, direction: Direction) -> list[TrialRecord]:
    """Return the best complete trials of a search, no two with the same hyperparameters.

    Args:
        search: Trials of the search.
        top: How many at most.
        direction: Whether a smaller or a larger value is better.
    """
    found: list[TrialRecord] = []
    for trial in rank_trials(search, direction):
        if len(found) == top:
            break
        if not any(same_params(trial.params, other.params) for other in found):
            found.append(trial)
    return found


def choose_trial(
    search: Sequence[TrialRecord],
    selection: Sequence[TrialRecord],
    top: int,
    runs: int,
    direction: Direction,
) -> ChosenTrial | None:
    """Choose the best trial of a search.

    The value that ranked a trial first is the largest of many, and so too good; if the best trials
    were run again, only those runs decide. A run that diverged or failed is the worst.

    Args:
        search: Trials of the search.
        selection: Runs of its best trials under other seeds.
        top: How many trials run again; 0 for none.
        runs: Under how many seeds each.
        direction: Whether a smaller or a larger value is better.

    Returns:
        The complete trial with the best mean over the seeds; of equal ones that with the lowest
        mean loss, then the one that the search ranks first. The search's first one as long as the
        selection is not complete, and where it is the only one. None where no trial is complete.
    """
    ranked, candidates = rank_trials(search, direction), best_trials(search, top, direction)
    own = [_runs_of(candidate, selection) for candidate in candidates]
    if len(candidates) < 2 or any(len(found) < runs for found in own):
        return ChosenTrial(ranked[0]) if ranked else None
    scores = [
        (_mean([_value(r, direction) for r in found]), _mean([tie_break(r) for r in found]), place)
        for place, found in enumerate(own)
    ]
    best = min(scores)
    return ChosenTrial(candidates[best[2]], direction.sign * best[0])


def _runs_of(candidate: TrialRecord, selection: Sequence[TrialRecord]) -> list[TrialRecord]:
    by_seed = {
        run.seed: run
        for run in selection
        if run.counts and same_params(run.params, candidate.params)
    }
    return list(by_seed.values())


def _value(run: TrialRecord, direction: Direction) -> float:
    if run.state is not TrialState.COMPLETE or run.value is None:
        return math.inf
    return direction.sign * run.value


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)
