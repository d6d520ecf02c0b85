"""A random forest as a model of a finished search.

It is fitted to the ranks of the trials: the share of the trials that are better, from 0 to 1. Ranks
suit both accuracies and losses that span many decades. The method is that of Eggensperger et al.
(Efficient benchmarking of hyperparameter optimizers via surrogates, AAAI 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecd_tune.errors import NoResultError
from ecd_tune.records import Params, TrialRecord, TrialState
from ecd_tune.space import Choice, Fixed, Float, Int, Space
from ecd_tune.spec import StudySpec
from ecd_tune.theory import Array

__all__ = ["LEAST_TRIALS", "Surrogate", "fit_surrogate"]

LEAST_TRIALS = 30
_TREES = 100


@dataclass(frozen=True)
class Surrogate:
    """A model of a finished study.

    Attributes:
        space: The search space.
        points: The study's trials, encoded, shape ``[n, d]``.
        seconds: Their durations, shape ``[n]``.
        values: Their values from the best to the worst, shape ``[n]``; infinite for trials that
            diverged or failed.
        forest: Predicts the rank of a point.
        agreement: Rank correlation of the study's trials with the out-of-bag predictions of the
            trees; 1 is a perfect model.
        error: Mean absolute error of the out-of-bag predictions.
    """

    space: Space
    points: Array
    seconds: Array
    values: Array
    forest: Any
    agreement: float
    error: float

    def look_up(self, params: Params) -> tuple[float, float]:
        """Return the rank of a point, 0 (best) to 1, and its duration in seconds."""
        point = _encode(self.space, [params])
        nearest = int(np.argmin(((self.points - point) ** 2).sum(axis=1)))
        return float(self.forest.predict(point)[0]), float(self.seconds[nearest])

    def predict(self, points: Sequence[Params]) -> Array:
        """Return the ranks of points, 0 (best) to 1, shape ``[len(points)]``."""
        return np.asarray(self.forest.predict(_encode(self.space, points)))

    def value_of(self, rank: float) -> float:
        """Return the value of the trial with a rank, interpolated between two trials."""
        place = rank * (len(self.values) - 1)
        low, high = float(self.values[math.floor(place)]), float(self.values[math.ceil(place)])
        share = place - math.floor(place)
        return low if low == high else (1 - share) * low + share * high


def fit_surrogate(
    spec: StudySpec, optimizer: str, records: Sequence[TrialRecord], seed: int = 0
) -> Surrogate:
    """Fit a model of the ranks of points in a study's space.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        records: Its trials; those that count are used. Diverged and failed trials rank last;
            pruned trials have their value at that time.
        seed: Seed of the forest.

    Returns:
        The model.

    Raises:
        NoResultError: Fewer than :data:`LEAST_TRIALS` trials have ended, all are equal, or no
            hyperparameter is searched.
    """
    from scipy.stats import rankdata, spearmanr
    from sklearn.ensemble import RandomForestRegressor

    done = [record for record in records if record.counts]
    if len(done) < LEAST_TRIALS:
        raise NoResultError(
            f"{spec.key(optimizer).name}: {len(done)} trials have ended; a model of the study "
            f"needs at least {LEAST_TRIALS}, preferably 100 of a random search"
        )
    space = spec.optimizers[optimizer].space
    if not space.searched:
        raise NoResultError(f"{spec.key(optimizer).name}: no hyperparameter is searched")
    sign = spec.task_def.direction.sign
    scores = np.array([_score(record, sign) for record in done])
    if len(set(scores)) < 2:
        raise NoResultError(f"{spec.key(optimizer).name}: all trials have the same value")
    ranks = (rankdata(scores) - 1) / (len(done) - 1)
    points = _encode(space, [record.params for record in done])
    forest = RandomForestRegressor(_TREES, oob_score=True, min_samples_leaf=2, random_state=seed)
    forest.fit(points, ranks)
    unseen = forest.oob_prediction_
    return Surrogate(
        space,
        points,
        np.array([record.cost.seconds for record in done]),
        sign * np.sort(scores),
        forest,
        agreement=float(spearmanr(ranks, unseen).statistic),
        error=float(np.abs(ranks - unseen).mean()),
    )


def _score(record: TrialRecord, sign: int) -> float:
    """Return a value to minimize; infinite for a trial that can never be the best."""
    ended = record.state is TrialState.COMPLETE or record.pruned
    return sign * record.value if ended and record.value is not None else math.inf


def _encode(space: Space, points: Sequence[Params]) -> Array:
    """Return points as numbers from 0 to 1; -1 for inactive parameters and values out of range.

    A fixed first trial can have `lr = "auto"`, or a value that the sampler never draws.
    """
    columns = [
        np.array([_place(dimension, params.get(name)) for params in points])
        for name, dimension in space.dimensions.items()
        if not isinstance(dimension, Fixed)
    ]
    return np.column_stack(columns)


def _place(dimension: Choice | Float | Int | Fixed, value: Any) -> float:
    if isinstance(dimension, Fixed) or not dimension.contains(value):
        return -1.0
    if isinstance(dimension, Choice):
        return dimension.values.index(value) / (len(dimension.values) - 1)
    low, high, at = dimension.low, dimension.high, float(value)
    if dimension.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)
