"""Performance profiles of times to target, with bootstrap intervals over tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecd_tune.theory import Array

__all__ = ["MOST_TIMES", "Profile", "profile_times"]

MOST_TIMES = 4.0
"""Where the profiles end whose area is the score, as in AlgoPerf."""

_RESAMPLES = 2000
_FEWEST = 3


@dataclass(frozen=True)
class Profile:
    """How often an optimizer is nearly the fastest.

    Attributes:
        score: Mean of the profile from 1 to four times the fastest: 1 where it is the fastest on
            all tasks, 0 where it never gets there.
        low: Lower end of the 95 % interval over tasks drawn again (percentiles of a bootstrap);
            None for fewer than three tasks.
        high: Upper end.
        times: Where the profile is evaluated for its band: multiples of the fastest time.
        lows: Lower end of the share of tasks at each of ``times``; empty without an interval.
        highs: Upper end.
    """

    score: float
    low: float | None = None
    high: float | None = None
    times: tuple[float, ...] = ()
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()


def profile_times(slowdowns: Mapping[str, Sequence[float]]) -> dict[str, Profile]:
    """Make the profiles of optimizers, and resample the tasks.

    All optimizers use the same resamples, with a fixed seed.

    Args:
        slowdowns: Optimizer key to each task's time to target over the fastest one there;
            infinite where the target is not reached.

    Returns:
        Optimizer key to profile; none where no task has a target.
    """
    tasks = max(map(len, slowdowns.values()), default=0)
    if not tasks:
        return {}
    finite = [ratio for found in slowdowns.values() for ratio in found if math.isfinite(ratio)]
    times = np.unique(np.concatenate([[1.0], finite, [max([MOST_TIMES, *finite])]]))
    draws = np.random.default_rng(0).integers(tasks, size=(_RESAMPLES, tasks))
    return {key: _profile(np.array(found), times, draws) for key, found in slowdowns.items()}


def _profile(found: Array, times: Array, draws: NDArray[np.int64]) -> Profile:
    scores = _scores(found)
    if len(found) < _FEWEST:
        return Profile(float(scores.mean()))
    low, high = np.percentile(scores[draws].mean(axis=1), [2.5, 97.5])
    reached = (found[:, None] <= times).astype(float)
    lows, highs = np.percentile(reached[draws].mean(axis=1), [2.5, 97.5], axis=0)
    return Profile(
        score=float(scores.mean()),
        low=float(low),
        high=float(high),
        times=tuple(times.tolist()),
        lows=tuple(lows.tolist()),
        highs=tuple(highs.tolist()),
    )


def _scores(found: Array) -> Array:
    """Return the part of 1 … MOST_TIMES in which each task is done."""
    return np.asarray((MOST_TIMES - np.clip(found, 1.0, MOST_TIMES)) / (MOST_TIMES - 1.0))
