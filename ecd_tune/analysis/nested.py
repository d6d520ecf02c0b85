"""Compare two optimizers that were each searched several times: the search is the unit.

The runs with the best hyperparameters of one search depend on the randomness of that search. They
are not independent samples: more seeds do not show the result of another search. Each search
counts once, by the median of its runs, and the sides are compared by Welch's t-test (Welch 1947),
whose standard error and interval include the spread of the searches and of the seeds. Equal
seeds on both sides make the test conservative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from ecd_tune.analysis.paired import PairedComparison, compare_paired
from ecd_tune.analysis.statistics import LEVEL, Interval, quantile, standard_deviation
from ecd_tune.records import Direction

__all__ = ["compare_searches"]

_PERMUTATIONS = 100_000

Runs = Mapping[int, float]
"""Seed to value, of one search."""


def compare_searches(
    first: Sequence[Runs], second: Sequence[Runs], direction: Direction, *, log: bool = False
) -> PairedComparison:
    """Compare two sides by their searches.

    Args:
        first: Runs of each search; the worst infinity for a run without a value.
        second: As ``first``.
        direction: Whether a smaller or a larger value is better.
        log: Compare log10; all values must be >= 0.

    Returns:
        The comparison. Wins are counted seed by seed; ``effect`` is the difference of the means
        over searches, and the p-value that of Welch's test, or, where a search's median is infinite
        or all of a side are equal, that of the rank-sum test by permutation. Without two searches a
        side there is neither p-value nor interval.
    """
    one, other = ([_level(runs, log) for runs in side if runs] for side in (first, second))
    told = compare_paired(_all_runs(first), _all_runs(second), direction, log=log)
    fewest = min(len(one), len(other))
    effect, interval, p_value = _test(one, other) if fewest > 1 else (_gap(one, other), None, None)
    return replace(
        told,
        searches=fewest,
        effect=effect,
        effect_interval=interval,
        sd=None,
        share_interval=None,
        p_value=p_value,
        lead=_lead(one, other, direction),
    )


def _level(runs: Runs, log: bool) -> float:
    middle = quantile(list(runs.values()), 0.5)
    if not log:
        return middle
    return math.log10(middle) if middle > 0 else -math.inf


def _all_runs(side: Sequence[Runs]) -> dict[int, float]:
    return {seed: value for runs in side for seed, value in runs.items()}


def _gap(first: Sequence[float], second: Sequence[float]) -> float | None:
    if not first or not second:
        return None
    left, right = float(np.mean(first)), float(np.mean(second))
    return 0.0 if left == right else left - right


def _test(
    first: Sequence[float], second: Sequence[float]
) -> tuple[float | None, Interval | None, float]:
    gap = _gap(first, second)
    if all(map(math.isfinite, (*first, *second))) and _spread(first) + _spread(second) > 0:
        return _welch(first, second)
    method = stats.PermutationMethod(n_resamples=_PERMUTATIONS, rng=np.random.default_rng(0))
    return gap, None, float(stats.mannwhitneyu(first, second, method=method).pvalue)


def _spread(side: Sequence[float]) -> float:
    # Squared below: a value too small for that counts as no spread.
    return standard_deviation(side) ** 2


def _welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, Interval, float]:
    gap = float(np.mean(first)) - float(np.mean(second))
    errors = [standard_deviation(side) ** 2 / len(side) for side in (first, second)]
    error = math.sqrt(sum(errors))
    # Satterthwaite's degrees of freedom, from each side's share of the squared error.
    shares = [own / sum(errors) for own in errors]
    counts = (len(first), len(second))
    freedom = 1 / sum(share**2 / (n - 1) for share, n in zip(shares, counts, strict=True))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    interval = Interval(gap - half, gap + half, "Welch's t over searches")
    return gap, interval, float(2 * stats.t.sf(abs(gap) / error, freedom))


def _lead(first: Sequence[float], second: Sequence[float], direction: Direction) -> int:
    gap = _gap(first, second)
    if gap is None or math.isnan(gap):
        return 0
    if math.isfinite(gap):
        return -direction.sign * int(np.sign(gap))
    ranks = stats.rankdata([*first, *second])
    return -direction.sign * int(
        np.sign(np.mean(ranks[: len(first)]) - np.mean(ranks[len(first) :]))
    )
