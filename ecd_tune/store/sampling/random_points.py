"""Random points, as Optuna's random sampler draws them with the same seed.

Optuna builds a transformation for every value that it draws; without it thousands of short trials
per second can be drawn. A test compares the two.
"""

from __future__ import annotations

import math

import numpy as np

from ecd_tune.records import Scalar
from ecd_tune.space import Space
from ecd_tune.store.sampling.points import StoredPoint, distributions_of

__all__ = ["draw_random"]


def draw_random(space: Space, count: int, seed: int) -> list[StoredPoint]:
    """Draw points at random.

    Args:
        space: The search space.
        count: How many points.
        seed: Of the generator.

    Returns:
        The points, in order.
    """
    suggester = _RandomSuggester(seed)
    known = distributions_of(space, space.dimensions)
    drawn = [space.suggest(suggester) for _ in range(count)]
    return [
        StoredPoint(params, {name: known[name] for name in params if name in known})
        for params in drawn
    ]


class _RandomSuggester:
    def __init__(self, seed: int) -> None:
        self._random = np.random.RandomState(seed)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        below = float(np.nextafter(high, high - 1))
        if log:
            return min(max(math.exp(self._uniform(math.log(low), math.log(high))), low), below)
        return min(self._uniform(low, high), below)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        first, last = low - 0.5, high + 0.5
        if log:
            value = round(math.exp(self._uniform(math.log(first), math.log(last))))
        else:
            value = math.floor(self._uniform(first, last) - low + 0.5) + low
        return min(max(value, low), high)

    def suggest_categorical(self, name: str, choices: tuple[Scalar, ...]) -> Scalar:
        return choices[int(np.argmax(self._random.uniform(size=len(choices))))]

    def _uniform(self, low: float, high: float) -> float:
        return float(self._random.uniform(low, high))
