"""The best of k trials, over all orders in which a search could have run them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecd_tune.records import Direction

__all__ = ["best_after"]


def best_after(
    values: Sequence[float | None], counts: Sequence[int], share: float, direction: Direction
) -> tuple[float, ...]:
    """Return a quantile of the best value after k trials over all their orders.

    No order is drawn: with n trials, the best of the first k is beyond the j best ones with the
    chance C(n - j, k) / C(n, k).

    Args:
        values: One per trial; None for a trial without a value, which counts as the worst.
        counts: Numbers of trials k, from 1 to the number of values.
        share: Which quantile, from 0 to 1; 0.5 is the median, smaller ones are better values.
        direction: Whether a smaller or a larger value is better.

    Returns:
        One value for each of ``counts``; the worst infinity where there is none.
    """
    worst = direction.sign * math.inf
    ordered = sorted((worst if v is None else v for v in values), key=lambda v: direction.sign * v)
    return tuple(ordered[_rank(len(ordered), k, share)] for k in counts)


def _rank(n: int, k: int, share: float) -> int:
    """Return the smallest rank, from 0, that the best of k reaches with the chance ``share``."""
    beyond = 1.0
    for rank in range(n - k + 1):
        beyond *= (n - k - rank) / (n - rank)
        if 1 - beyond >= share - 1e-12:
            return rank
    return n - k
