"""Compare two sets of runs seed by seed.

Both sides ran under the same seeds, so each seed gives one difference and most of the noise
cancels. Where values span decades the difference is taken between logarithms. A run without a
value is the worst one: against a finite value the difference is infinite, two of them tie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecd_tune.analysis.statistics import (
    Interval,
    mean_interval,
    median_interval,
    quantile,
    share_interval,
)
from ecd_tune.records import Direction

__all__ = ["PairedComparison", "compare_paired", "holm", "signed_rank_p"]


_COUNTED = 1000


@dataclass(frozen=True)
class PairedComparison:
    """One side against another over equal seeds.

    Attributes:
        pairs: Seeds that both sides ran.
        wins: Seeds at which the first side is better.
        losses: Seeds at which the second side is better.
        ties: Seeds at which both are equal.
        log: True when differences are of log10.
        median: Median of first minus second; infinite when runs without a value decide it.
        median_interval: Its interval (order statistics), or None.
        mean: Mean difference; None unless all differences are finite.
        mean_interval: Its interval (t), or None.
        share_interval: Exact binomial interval of wins / pairs.
        p_value: Two-sided Wilcoxon signed-rank test; None without pairs.
    """

    pairs: int
    wins: int
    losses: int
    ties: int
    log: bool
    median: float | None
    median_interval: Interval | None
    mean: float | None
    mean_interval: Interval | None
    share_interval: Interval | None
    p_value: float | None


def compare_paired(
    first: Mapping[int, float],
    second: Mapping[int, float],
    direction: Direction,
    *,
    log: bool = False,
) -> PairedComparison:
    """Compare two sides over the seeds that both ran.

    Args:
        first: Seed to value; the worst infinity for a run without a value.
        second: As ``first``.
        direction: Whether a smaller or a larger value is better.
        log: Take differences of log10; all values must be >= 0.

    Returns:
        The comparison; its differences are first minus second.
    """
    seeds = sorted(first.keys() & second.keys())
    differences = [_difference(first[seed], second[seed], log) for seed in seeds]
    gains = [-direction.sign * difference for difference in differences]
    wins, losses = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    finite = bool(seeds) and all(map(math.isfinite, differences))
    return PairedComparison(
        pairs=len(seeds),
        wins=wins,
        losses=losses,
        ties=len(seeds) - wins - losses,
        log=log,
        median=quantile(differences, 0.5) if seeds else None,
        median_interval=median_interval(differences),
        mean=math.fsum(differences) / len(seeds) if finite else None,
        mean_interval=mean_interval(differences),
        share_interval=share_interval(wins, len(seeds)),
        p_value=signed_rank_p(differences) if seeds else None,
    )


def _difference(first: float, second: float, log: bool) -> float:
    if first == second:
        return 0.0
    return _log10(first) - _log10(second) if log else first - second


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf


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
    nonzero = np.array([d for d in differences if d != 0])
    if nonzero.size == 0:
        return 1.0
    # Mean ranks are halves; twice them are whole numbers, which a table can be indexed by.
    ranks = np.rint(2 * stats.rankdata(np.abs(nonzero))).astype(int)
    total, positive = int(ranks.sum()), int(ranks[nonzero > 0].sum())
    distance = abs(2 * positive - total)
    if nonzero.size > _COUNTED:
        return float(2 * stats.norm.sf(distance / math.sqrt(float((ranks**2).sum()))))
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    for rank in ranks:
        moved = np.zeros_like(chance)
        moved[rank:] = chance[: total + 1 - rank]
        chance = 0.5 * (chance + moved)
    extreme = np.abs(2 * np.arange(total + 1) - total) >= distance
    return min(1.0, float(chance[extreme].sum()))


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust p-values for several comparisons (Holm 1979).

    Args:
        p_values: One a comparison; None where there is none.

    Returns:
        Adjusted values in the same order; each may be held against the level as it is.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for position, (p, index) in enumerate(known):
        running = max(running, min(1.0, (len(known) - position) * p))
        adjusted[index] = running
    return tuple(adjusted)
