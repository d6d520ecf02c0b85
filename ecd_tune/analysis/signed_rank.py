"""Wilcoxon's signed-rank test: its p-value, the interval and the estimate that belong to it.

A run without a value makes a difference infinite, which has the largest rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from ecd_tune.analysis.statistics import LEVEL, Interval, quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "equivalence_p",
    "favoured_side",
    "hodges_lehmann",
    "signed_rank_interval",
    "signed_rank_p",
    "smallest_p",
]

_COUNTED = 1000


def signed_rank_p(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, also with ties.

    Under the null hypothesis each difference is as likely to have either sign. Zeros are left
    out, equal sizes share their mean rank, and the distribution of the rank sum over all sign
    patterns is counted, not approximated, for up to 1000 differences; for more, the normal
    approximation holds to many digits. Infinite differences have the largest rank.

    Args:
        differences: Paired differences, infinities allowed.

    Returns:
        The p-value; 1 when all differences are zero.
    """
    ranks = _signed_ranks(differences)
    if ranks.size == 0:
        return 1.0
    return min(1.0, 2 * _tail(np.abs(ranks), abs(int(ranks.sum()))))


def signed_rank_interval(differences: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return the shifts that the signed-rank test does not reject (Hollander and Wolfe, 3.3).

    Without ties and zeros it leaves out 0 exactly if the p-value of :func:`signed_rank_p` is at
    most ``1 - level``.

    Args:
        differences: Paired differences, infinities allowed.
        level: Confidence.

    Returns:
        The interval; None for fewer than six differences at 95 %.
    """
    rank = _rejected_sums(len(differences), 1 - level) if differences else 0
    if rank < 1:
        return None
    pairs = len(differences) * (len(differences) + 1) // 2
    low, high = _pair_means(differences, (rank - 1, pairs - rank))
    return Interval(low, high, "signed-rank test", level)


def hodges_lehmann(differences: Sequence[float]) -> float:
    """Return the median of the means of all pairs of differences, each with itself too.

    Args:
        differences: At least one; infinities allowed.
    """
    pairs = len(differences) * (len(differences) + 1) // 2
    return quantile(_pair_means(differences, ((pairs - 1) // 2, pairs // 2)), 0.5)


def equivalence_p(differences: Sequence[float], margin: float) -> float:
    """Return the p-value of two one-sided signed-rank tests (TOST, Schuirmann 1987).

    Below the level, the differences are shown to centre above -margin and below margin: the two
    sides are equivalent within any margin that is not smaller.

    Args:
        differences: Paired differences, infinities allowed.
        margin: Above 0, in their unit.

    Returns:
        The larger p-value of the two tests.
    """
    up, down = ([margin + sign * d for d in differences] for sign in (1, -1))
    return max(map(_above_zero_p, (up, down)))


def favoured_side(differences: Sequence[float]) -> int:
    """Return 1 if the sum of the signed ranks is positive, -1 if negative, 0 if neither."""
    return int(np.sign(_signed_ranks(differences).sum()))


def smallest_p(pairs: int) -> float:
    """Return the smallest p-value that the signed-rank test can give.

    Args:
        pairs: Number of differences.

    Returns:
        ``2 ** (1 - pairs)``, that of differences which all have one sign; at most 1.
    """
    return min(1.0, 2.0 ** (1 - pairs))


def _above_zero_p(differences: Sequence[float]) -> float:
    """Return the one-sided p-value of the signed-rank test that differences centre above 0."""
    ranks = _signed_ranks(differences)
    return _tail(np.abs(ranks), int(ranks.sum())) if ranks.size else 1.0


def _tail(ranks: NDArray[np.int64], least: int) -> float:
    """Return the chance that ranks with random signs sum up to ``least`` or more.

    It is counted over all sign patterns for up to 1000 ranks; for more, the normal approximation
    holds to many digits.
    """
    if ranks.size > _COUNTED:
        return float(stats.norm.sf(least / math.sqrt(float((ranks**2).sum()))))
    # The signs can be turned: as likely, those with a plus sum up to at most this.
    most = (int(ranks.sum()) - least) // 2
    unit = int(np.gcd.reduce(ranks))
    return float(_sum_chances(ranks // unit, most // unit).sum())


def _sum_chances(ranks: NDArray[np.int64], most: int) -> NDArray[np.float64]:
    """Return the chances of the sums 0 to ``most`` of the ranks that get a plus."""
    chance = np.zeros(most + 1)
    chance[0] = 1.0
    top = 0
    for rank in np.sort(ranks):
        top = min(top + int(rank), most)
        part = chance[: top + 1]
        part *= 0.5
        part[rank:] += part[: max(top + 1 - rank, 0)].copy()
    return chance


def _signed_ranks(differences: Sequence[float]) -> NDArray[np.int64]:
    """Return twice the signed ranks of the differences that are not 0, which are whole numbers."""
    nonzero = np.array([d for d in differences if d != 0])
    # Mean ranks are halves; twice them can index a table.
    doubled: NDArray[np.int64] = np.rint(2 * stats.rankdata(np.abs(nonzero))).astype(np.int64)
    doubled[nonzero < 0] *= -1
    return doubled


@cache
def _rejected_sums(pairs: int, alpha: float) -> int:
    """Return how many of the sums 0, 1, … of positive ranks lie below the two-sided level."""
    if pairs > _COUNTED:
        sd = math.sqrt(pairs * (pairs + 1) * (2 * pairs + 1) / 24)
        return 1 + math.floor(pairs * (pairs + 1) / 4 + stats.norm.ppf(alpha / 2) * sd)
    below = np.cumsum(_sum_chances(np.arange(1, pairs + 1), pairs * (pairs + 1) // 4))
    return int(np.searchsorted(below, alpha / 2, side="right"))


def _pair_means(differences: Sequence[float], places: Sequence[int]) -> list[float]:
    """Return means of pairs of differences, each with itself too, by their places when sorted."""
    halves = np.sort(np.asarray(differences, dtype=float)) / 2
    if halves.size > _COUNTED:
        return [_pair_mean(halves, place) for place in places]
    with np.errstate(invalid="ignore"):
        means = np.concatenate([halves[i:] + half for i, half in enumerate(halves)])
    # Two runs without a value, one on each side, balance.
    means[np.isnan(means)] = 0.0
    return [float(mean) for mean in np.partition(means, places)[[*places]]]


def _pair_mean(halves: NDArray[np.float64], place: int) -> float:
    """Return one mean of pairs in O(n log n) time and O(n) memory: a million of n are possible."""
    finite = halves[np.isfinite(halves)]
    below, above = (int((halves == end).sum()) for end in (-math.inf, math.inf))
    lowest = below * (below + 1) // 2 + below * finite.size
    balanced = below * above
    if place < lowest:
        return -math.inf
    if place >= lowest + balanced + finite.size * (finite.size + 1) // 2:
        return math.inf

    def count(bound: float) -> int:
        # Every pair occurs twice among the ordered ones, one of equals once.
        ordered = int(np.searchsorted(finite, bound - finite, side="right").sum())
        alone = int((2 * finite <= bound).sum())
        return lowest + balanced * (bound >= 0) + (ordered + alone) // 2

    # Of all floating-point numbers, in 64 steps, the smallest that has enough means up to it.
    ends = (min(0.0, 2 * finite[0]), max(0.0, 2 * finite[-1])) if finite.size else (0.0, 0.0)
    low, high = _ordinal(ends[0]) - 1, _ordinal(ends[1])
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if count(_number(middle)) > place else (middle, high)
    bound = _number(high)
    partners = np.searchsorted(finite, bound - finite, side="right") - 1
    means = (finite + finite[partners])[partners >= 0]
    # A rounded difference decides above, so that the mean itself may be next to the bound.
    found = float(means.max(initial=-math.inf))
    return 0.0 if balanced and found < 0 <= bound else found


def _ordinal(value: float) -> int:
    """Return the place of a number among all floating-point numbers, 0 for 0."""
    size = int(np.float64(abs(value)).view(np.int64))
    return size if value >= 0 else -size


def _number(ordinal: int) -> float:
    return math.copysign(float(np.int64(abs(ordinal)).view(np.float64)), ordinal)
