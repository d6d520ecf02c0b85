"""Rungs of successive halving: the epochs at which trials are compared.

With ``[pruning] resume`` a trial is trained to the next rung of its bracket and paused there, with
a checkpoint. Once it is among the best ``1 / reduction`` of all that have reached that rung it is
promoted, and trained on to the next one: asynchronous successive halving (Li et al., A System for
Massively Parallel Hyperparameter Tuning, MLSys 2020, Algorithm 2). Hyperband deals its trials to
several brackets, in the shares that Optuna's pruner gives them.
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
        brackets: Of each bracket the epochs of its rungs, increasing and below a whole run's.
    """

    def __init__(self, spec: StudySpec, optimizer: str) -> None:
        pruning, steps = spec.pruning, spec.steps(Stage.SEARCH)
        every = spec.training_for(optimizer).eval_every
        first, factor = pruning.least_epochs, pruning.reduction
        epochs: list[int] = []
        while first * factor ** len(epochs) < steps:
            epochs.append(first * factor ** len(epochs))
        # A whole run's epochs are a rung too where they are met exactly: a bracket without others.
        exact = first * factor ** len(epochs) == steps
        count = len(epochs) + exact if pruning.kind == "hyperband" else 1
        # Trials are compared where all of them are judged.
        judged = [math.ceil(epoch / every) * every for epoch in epochs]
        self.brackets = tuple(
            tuple(dict.fromkeys(epoch for epoch in judged[skipped:] if epoch < steps))
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
            The epoch of a rung; None where it is trained to its end.
        """
        epochs = self.brackets[bracket]
        return epochs[promotions] if promotions < len(epochs) else None


def choose_promoted(
    losses: Mapping[int, float], promoted: Collection[int], reduction: int
) -> list[int]:
    """Choose the trials of a rung that are to be promoted now.

    Args:
        losses: Number of each trial that has reached the rung to its value there, the smallest
            being the best; infinite for one that diverged on the way.
        promoted: Those of them that were promoted before.
        reduction: One of so many continues.

    Returns:
        Numbers, the best first; of equal values the lower number is the better one.
    """
    ranked = sorted(losses, key=lambda number: (losses[number], number))
    best = ranked[: len(ranked) // reduction]
    return [n for n in best if n not in promoted and math.isfinite(losses[n])]


def _share(number: int, count: int, factor: int) -> int:
    """Return how many trials a bracket gets of all, as Optuna's Hyperband has it."""
    left = count - 1 - number
    return math.ceil(count * float(factor) ** left / (left + 1))
