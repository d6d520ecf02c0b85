"""Rungs of successive halving: the epochs at which trials are compared.

With ``[pruning] resume`` a trial is trained to the next rung of its bracket and paused there, with
a checkpoint. When it is among the best ``1 / reduction`` of all trials that have reached that rung,
it is promoted and trained to the next one. This is asynchronous successive halving (Li et al., A
System for Massively Parallel Hyperparameter Tuning, MLSys 2020, Algorithm 2). Hyperband assigns
trials to several brackets, in the same shares as Optuna's pruner.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping
from itertools import accumulate
from zlib import crc32

from ecd_tune.records import RunRequest, Stage, StudyKey
from ecd_tune.spec.model import StudySpec

__all__ = ["Rungs", "choose_promoted"]


class Rungs:
    """The rungs of one study.

    Args:
        spec: A study whose ``[pruning]`` has rungs.
        optimizer: Key of the optimizer.

    Attributes:
        brackets: Epochs of the rungs of each bracket, increasing and below those of a whole run.
    """

    def __init__(self, spec: StudySpec, optimizer: str) -> None:
        pruning, steps = spec.pruning, spec.steps(Stage.SEARCH)
        every = spec.training_for(optimizer).eval_every
        first, factor = pruning.least_epochs, pruning.reduction
        epochs: list[int] = []
        while first * factor ** len(epochs) < steps:
            epochs.append(first * factor ** len(epochs))
        # If the epochs of a whole run are exactly a rung, one bracket has no rung before its end.
        exact = first * factor ** len(epochs) == steps
        count = len(epochs) + exact if pruning.kind == "hyperband" else 1
        # Trials are compared at epochs at which all of them are evaluated.
        evaluated = [math.ceil(epoch / every) * every for epoch in epochs]
        self.brackets = tuple(
            tuple(dict.fromkeys(epoch for epoch in evaluated[skipped:] if epoch < steps))
            for skipped in range(count)
        )
        shares = (_share(number, count, factor) for number in range(count))
        self._dealt = list(accumulate(shares))

    def bracket(self, key: StudyKey, request: RunRequest) -> int:
        """Return the bracket of a trial, the same for each of its attempts.

        Args:
            key: The study.
            request: Its run.
        """
        place = crc32(f"{key.name}_{request.seed}".encode()) % self._dealt[-1]
        return bisect_right(self._dealt, place)

    def until(self, bracket: int, promotions: int) -> int | None:
        """Return the epoch to which a trial is trained.

        Args:
            bracket: Its bracket.
            promotions: How often it was promoted.

        Returns:
            The epoch of a rung; None if it is trained to its end.
        """
        epochs = self.brackets[bracket]
        return epochs[promotions] if promotions < len(epochs) else None


def choose_promoted(
    losses: Mapping[int, float], promoted: Collection[int], reduction: int
) -> list[int]:
    """Choose the trials of a rung that are to be promoted now.

    Args:
        losses: Value at the rung by number of the trial, for all trials that have reached it;
            smaller is better, infinite for a trial that diverged before.
        promoted: Numbers of the trials that were promoted before.
        reduction: One of this many trials continues.

    Returns:
        Numbers, the best first; ties are broken by the lower number.
    """
    ranked = sorted(losses, key=lambda number: (losses[number], number))
    best = ranked[: len(ranked) // reduction]
    return [n for n in best if n not in promoted and math.isfinite(losses[n])]


def _share(number: int, count: int, factor: int) -> int:
    """Return the relative number of trials of a bracket, as in Optuna's Hyperband."""
    left = count - 1 - number
    return math.ceil(count * float(factor) ** left / (left + 1))
