"""Searches on a model of a finished study: samplers compared in seconds, without training.

A random forest is fitted to the ranks of the study's trials: the share of the trials that are
better, from 0 to 1, which treats losses over many decades and accuracies alike. A trial takes as
long as the nearest one that was run. Such surrogate benchmarks are those of Eggensperger et al.
(Efficient benchmarking of hyperparameter optimizers via surrogates, AAAI 2015).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from ecd_tune.errors import NoResultError
from ecd_tune.records import Params, TrialRecord
from ecd_tune.space import Choice, Fixed, Float, Int, Space
from ecd_tune.spec import SamplerSpec, StudySpec
from ecd_tune.store.sampling.samplers import make_sampler
from ecd_tune.theory import Array

__all__ = ["LEAST_TRIALS", "Replay", "Surrogate", "fit_surrogate", "replay_search"]

LEAST_TRIALS = 30
_TREES = 100


@dataclass(frozen=True)
class Surrogate:
    """A model of a finished study.

    Attributes:
        space: The search space.
        points: The study's trials, encoded, shape ``[n, d]``.
        seconds: How long each took, shape ``[n]``.
        forest: Predicts the rank of a point.
        agreement: Rank correlation of the study's trials with the out-of-bag predictions of the
            trees; 1 is a perfect model.
    """

    space: Space
    points: Array
    seconds: Array
    forest: Any
    agreement: float

    def look_up(self, params: Params) -> tuple[float, float]:
        """Return the rank of a point, 0 (best) to 1, and its duration in seconds."""
        point = _encode(self.space, [params])
        nearest = int(np.argmin(((self.points - point) ** 2).sum(axis=1)))
        return float(self.forest.predict(point)[0]), float(self.seconds[nearest])


@dataclass(frozen=True)
class Replay:
    """One simulated search.

    Attributes:
        best: Worth of the best point after each finished trial, in the order of their ends.
        seconds: Simulated time at each of these ends.
    """

    best: tuple[float, ...]
    seconds: tuple[float, ...]


def fit_surrogate(
    spec: StudySpec, optimizer: str, records: Sequence[TrialRecord], seed: int = 0
) -> Surrogate:
    """Fit a model of the ranks of points in a study's space.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        records: Its trials; those that count are used, and one without a value is the worst.
        seed: Of the forest.

    Returns:
        The model.

    Raises:
        NoResultError: Fewer than :data:`LEAST_TRIALS` trials have ended, or all are equal.
    """
    from scipy.stats import rankdata, spearmanr
    from sklearn.ensemble import RandomForestRegressor

    done = [record for record in records if record.counts]
    if len(done) < LEAST_TRIALS:
        raise NoResultError(
            f"{spec.key(optimizer).name}: {len(done)} trials have ended; a model of the study "
            f"needs at least {LEAST_TRIALS}, better 100, best of a random search"
        )
    sign = spec.task_def.direction.sign
    scores = [math.inf if record.value is None else sign * record.value for record in done]
    if len(set(scores)) < 2:
        raise NoResultError(f"{spec.key(optimizer).name}: all trials have the same value")
    worth = (rankdata(scores) - 1) / (len(done) - 1)
    space = spec.optimizers[optimizer].space
    points = _encode(space, [record.params for record in done])
    forest = RandomForestRegressor(_TREES, oob_score=True, min_samples_leaf=2, random_state=seed)
    forest.fit(points, worth)
    agreement = float(spearmanr(worth, forest.oob_prediction_).statistic)
    seconds = np.array([record.cost.seconds for record in done])
    return Surrogate(space, points, seconds, forest, agreement)


def replay_search(
    spec: StudySpec,
    optimizer: str,
    surrogate: Surrogate,
    sampler: SamplerSpec,
    seed: int,
    trials: int,
    workers: int = 1,
) -> Replay:
    """Search the model with simulated workers, each of which asks when its last trial ends.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        surrogate: The model of its trials.
        sampler: Sampler to search with.
        seed: Of the sampler.
        trials: Budget.
        workers: Trials that run at the same time.

    Returns:
        The search.
    """
    changed = spec.model_copy(update={"sampler": sampler, "seed": seed})
    study = optuna.create_study(sampler=make_sampler(changed, optimizer, 0).sampler)
    running: list[tuple[float, int, Any, float]] = []
    best: list[float] = []
    ends: list[float] = []
    started = 0
    clock = 0.0
    while len(ends) < trials:
        while started < trials and len(running) < workers:
            trial: Any = study.ask()
            worth, seconds = surrogate.look_up(surrogate.space.suggest(trial))
            heapq.heappush(running, (clock + seconds, started, trial, worth))
            started += 1
        clock, _, trial, worth = heapq.heappop(running)
        study.tell(trial, worth)
        best.append(min(worth, best[-1] if best else worth))
        ends.append(clock)
    return Replay(tuple(best), tuple(ends))


def _encode(space: Space, points: Sequence[Params]) -> Array:
    """Return points as numbers from 0 to 1; -1 is what is not active, or not of the range.

    A fixed first trial may have `lr = "auto"`, or a value that the sampler never draws.
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
