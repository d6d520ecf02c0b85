"""Compare two sets of runs seed by seed.

Both sides ran under the same seeds, so each seed gives one difference and most of the noise
cancels. If values span decades, the difference is between logarithms. A run without a value is the
worst one: against a finite value the difference is infinite, two of them tie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from ecd_tune.analysis.signed_rank import (
    equivalence_p,
    favoured_side,
    hodges_lehmann,
    signed_rank_interval,
    signed_rank_p,
)
from ecd_tune.analysis.statistics import LEVEL, Interval, share_interval, standard_deviation
from ecd_tune.records import Direction

__all__ = [
    "PairedComparison",
    "compare_paired",
    "fewest_pairs",
    "holm",
    "smallest_detectable",
]


_POWER = 0.8
_EFFICIENCY = 3 / math.pi
"""Of the signed-rank test against Student's t, for normal differences (Pitman)."""


@dataclass(frozen=True)
class PairedComparison:
    """One side against another over equal seeds.

    Attributes:
        pairs: Seeds that both sides ran.
        wins: Seeds at which the first side is better.
        losses: Seeds at which the second side is better.
        ties: Seeds at which both are equal.
        lead: 1 when the ranks of the differences favour the first side, -1 the second, 0 neither.
        log: True when differences are of log10.
        effect: First minus second: the Hodges-Lehmann estimate, the median of the means of all
            pairs of differences; infinite when runs without a value decide it.
        effect_interval: Its interval, of the same test as the p-value, or None (see
            :func:`~ecd_tune.analysis.signed_rank.signed_rank_interval`).
        sd: Standard deviation of the differences; None for fewer than two, or unless all are
            finite.
        share_interval: Exact binomial interval of wins / pairs.
        p_value: Two-sided Wilcoxon signed-rank test; None without pairs.
        equivalence_p: Two one-sided tests that the difference is within a margin; None without a
            margin or pairs.
        searches: Searches of the side that has fewer, where searches and not seeds are compared
            (:func:`ecd_tune.analysis.compare_searches`); 0 where seeds are.
    """

    pairs: int
    wins: int
    losses: int
    ties: int
    lead: int
    log: bool
    effect: float | None
    effect_interval: Interval | None
    sd: float | None
    share_interval: Interval | None
    p_value: float | None
    searches: int = 0
    equivalence_p: float | None = None


def compare_paired(
    first: Mapping[int, float],
    second: Mapping[int, float],
    direction: Direction,
    *,
    log: bool = False,
    margin: float | None = None,
) -> PairedComparison:
    """Compare two sides over the seeds that both ran.

    Args:
        first: Seed to value; the worst infinity for a run without a value.
        second: As ``first``.
        direction: Whether a smaller or a larger value is better.
        log: Take differences of log10; all values must be >= 0.
        margin: Size of a difference that does not matter, of log10 where ``log``.

    Returns:
        The comparison; its differences are first minus second.
    """
    seeds = sorted(first.keys() & second.keys())
    differences = [_difference(first[seed], second[seed], log) for seed in seeds]
    gains = [-direction.sign * difference for difference in differences]
    wins, losses = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    finite = len(seeds) > 1 and all(map(math.isfinite, differences))
    return PairedComparison(
        pairs=len(seeds),
        wins=wins,
        losses=losses,
        ties=len(seeds) - wins - losses,
        lead=favoured_side(gains),
        log=log,
        effect=hodges_lehmann(differences) if seeds else None,
        effect_interval=signed_rank_interval(differences),
        sd=standard_deviation(differences) if finite else None,
        share_interval=share_interval(wins, len(seeds)),
        p_value=signed_rank_p(differences) if seeds else None,
        equivalence_p=equivalence_p(differences, margin) if seeds and margin else None,
    )


def _difference(first: float, second: float, log: bool) -> float:
    if first == second:
        return 0.0
    return _log10(first) - _log10(second) if log else first - second


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf


def fewest_pairs(comparisons: int, level: float = 1 - LEVEL) -> int:
    """Return the number of pairs that is needed for any difference to be significant.

    Args:
        comparisons: Comparisons that the p-value is corrected for.
        level: p-value below which a difference is significant.

    Returns:
        The smallest number of pairs whose smallest p-value, times ``comparisons``, is below it.
    """
    return math.floor(1 + math.log2(max(comparisons, 1) / level)) + 1


def smallest_detectable(
    pairs: int, sd: float | None, comparisons: int, level: float = 1 - LEVEL
) -> float | None:
    """Return the shift that the signed-rank test would see with a power of 80 %.

    For normal differences: (t₁₋α + t₀.₈) sd / √(0.955 n) with n - 1 degrees of freedom, where α
    is half the level over the number of comparisons (Bonferroni's, the first step of Holm's).

    Args:
        pairs: Number of differences, n.
        sd: Their standard deviation, in their own unit.
        comparisons: Comparisons that the p-value is corrected for.
        level: Corrected p-value below which a difference is significant.

    Returns:
        The shift in the unit of ``sd``; None where that is unknown or 0, and if no difference can
        be significant with so few pairs.
    """
    if not sd or pairs < fewest_pairs(comparisons, level):
        return None
    t = stats.t(pairs - 1)
    quantiles = t.ppf(1 - level / (2 * comparisons)) + t.ppf(_POWER)
    return float(quantiles * sd / math.sqrt(_EFFICIENCY * pairs))


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust p-values for several comparisons (Holm 1979).

    Args:
        p_values: One a comparison; None where there is none.

    Returns:
        Adjusted values in the same order; each can be compared directly with the level.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for position, (p, index) in enumerate(known):
        running = max(running, min(1.0, (len(known) - position) * p))
        adjusted[index] = running
    return tuple(adjusted)
