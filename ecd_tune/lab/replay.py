"""Searches on a model of a finished study: samplers compared in seconds, without training.

The model is :mod:`ecd_tune.analysis.surrogate`. A trial takes as long as the nearest one that was
run.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import optuna

from ecd_tune.analysis.surrogate import Surrogate
from ecd_tune.spec import SamplerSpec, StudySpec
from ecd_tune.store.sampling.guided import guided_points
from ecd_tune.store.sampling.samplers import make_sampler

__all__ = ["Replay", "replay_search"]


@dataclass(frozen=True)
class Replay:
    """One simulated search.

    Attributes:
        best: Worth of the best point after each finished trial, in the order of their ends.
        seconds: Simulated time at each of these ends.
    """

    best: tuple[float, ...]
    seconds: tuple[float, ...]


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
            if guided := guided_points(changed, optimizer, [started]):
                study.enqueue_trial(dict(guided[started].params))
            trial: Any = study.ask()
            worth, seconds = surrogate.look_up(surrogate.space.suggest(trial))
            heapq.heappush(running, (clock + seconds, started, trial, worth))
            started += 1
        clock, _, trial, worth = heapq.heappop(running)
        study.tell(trial, worth)
        best.append(min(worth, best[-1] if best else worth))
        ends.append(clock)
    return Replay(tuple(best), tuple(ends))
