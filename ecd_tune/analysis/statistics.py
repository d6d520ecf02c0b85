"""Statistics of confirmation runs that stay true for few runs, ties and diverged runs.

A run that diverged enters as the worst value, plus or minus infinity, so that quantiles show it
and no average is formed that would hide it. Two intervals are used, both without resampling:

- median: order statistics (the inverted sign test). Exact for any distribution, ties make it
  wider than asked for, never narrower, and an infinite end is simply that. It exists from six
  values on; for fewer no pair of order statistics covers 95 %.
- mean: Student's t, for finite values that are not all equal, from three values on; none where
  positive values span more than two decades, since one of them then decides the mean.
"""

from __future__ import annotations

import math
import statistics as exact  # sums as fractions: no rounding, no overflow
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from ecd_tune.records import Direction

__all__ = [
    "Interval",
    "Summary",
    "mean_interval",
    "median_interval",
    "quantile",
    "share_interval",
    "spans_decades",
    "standard_deviation",
    "summarise",
]

LEVEL = 0.95
_MIN_RUNS = 3
_DECADES = 2.0


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end; may be minus infinity.
        high: Upper end; may be infinity.
        method: How it was found, in words.
        level: Its confidence.
    """

    low: float
    high: float
    method: str
    level: float = LEVEL


@dataclass(frozen=True)
class Summary:
    """The distribution of one number over runs.

    Attributes:
        runs: Number of runs.
        median: Median; infinite when at least half of the runs have no finite value.
        q1: Lower quartile.
        q3: Upper quartile.
        median_interval: Interval of the median, or None.
        mean: Arithmetic mean; None unless all values are finite.
        sd: Sample standard deviation; None for one run or unless all values are finite.
        mean_interval: Interval of the mean, or None.
        note: Why an interval is missing; empty otherwise.
    """

    runs: int
    median: float
    q1: float
    q3: float
    median_interval: Interval | None
    mean: float | None
    sd: float | None
    mean_interval: Interval | None
    note: str = ""


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile by linear interpolation (Hyndman and Fan's type 7).

    Args:
        values: At least one number, infinities allowed.
        share: From 0 to 1.

    Returns:
        The quantile; infinite if it is at an infinite value, or between a finite and an infinite
        one.

    Raises:
        ValueError: There are no values, or one is NaN.
    """
    if not values or any(math.isnan(v) for v in values):
        raise ValueError(f"quantile of {len(values)} values: at least one, and none NaN")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    lower = math.floor(position)
    weight = position - lower
    below, above = ordered[lower], ordered[min(lower + 1, len(ordered) - 1)]
    if weight == 0 or below == above:
        return below
    if math.isinf(below) or math.isinf(above):
        return _nearest_infinity(below, above, weight)
    # Halved, so that the distance of two huge numbers does not overflow; then kept between them,
    # which rounding alone would not promise.
    middle = 2 * (below / 2 + weight * (above / 2 - below / 2))
    return min(max(middle, below), above)


def _nearest_infinity(below: float, above: float, weight: float) -> float:
    if math.isinf(below) and math.isinf(above):
        return below if weight < 0.5 else above
    return below if math.isinf(below) else above


def median_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return the interval of the median from order statistics.

    Args:
        values: Numbers, infinities allowed.
        level: Confidence that is covered at least.

    Returns:
        The shortest symmetric pair of order statistics that covers; None for too few values.
    """
    # The largest rank k with P(Bin(n, 1/2) < k) <= (1 - level) / 2.
    rank = int(stats.binom.ppf((1 - level) / 2, len(values), 0.5)) if values else 0
    if rank < 1:
        return None
    ordered = sorted(values)
    return Interval(ordered[rank - 1], ordered[-rank], "order statistics", level)


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return Student's t interval of the mean.

    Args:
        values: Numbers.
        level: Confidence.

    Returns:
        The interval; None for fewer than three values, for values that are not all finite, for
        values that are all equal, whose spread is not informative, and for values that span
        decades.
    """
    if len(values) < _MIN_RUNS or not all(map(math.isfinite, values)) or spans_decades(values):
        return None
    mean, sd = _mean(values), standard_deviation(values)
    if not sd or not math.isfinite(sd):
        return None
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * sd / math.sqrt(len(values))
    return Interval(mean - half, mean + half, "Student's t", level)


def share_interval(successes: int, total: int, level: float = LEVEL) -> Interval | None:
    """Return the exact (Clopper and Pearson's) interval of a share.

    Args:
        successes: From 0 to ``total``.
        total: Number of tries.
        level: Confidence.

    Returns:
        The interval; None without tries.
    """
    if total == 0:
        return None
    found = stats.binomtest(successes, total).proportion_ci(level, method="exact")
    return Interval(float(found.low), float(found.high), "exact binomial", level)


def summarise(values: Sequence[float], direction: Direction) -> Summary:
    """Describe the distribution of a number over runs.

    Args:
        values: One number per run; the worst infinity for a run without one.
        direction: Says which infinity is the worst.

    Returns:
        The summary.

    Raises:
        ValueError: There are no values, one is NaN, or one is the best infinity.
    """
    if -direction.sign * math.inf in values:
        raise ValueError("a value cannot be infinitely good")
    finite = all(map(math.isfinite, values))
    q1, median, q3 = (quantile(values, share) for share in (0.25, 0.5, 0.75))
    return Summary(
        runs=len(values),
        median=median,
        q1=q1,
        q3=q3,
        median_interval=median_interval(values),
        mean=_mean(values) if finite else None,
        sd=standard_deviation(values) if finite and len(values) > 1 else None,
        mean_interval=mean_interval(values),
        note=_note(values),
    )


def _note(values: Sequence[float]) -> str:
    if len(values) < _MIN_RUNS:
        return f"{len(values)} run{'s' * (len(values) != 1)}: too few for an interval"
    if len(set(values)) == 1:
        return "all runs gave the same value: no interval of the mean"
    if not all(map(math.isfinite, values)):
        return "no mean: some runs have no finite value"
    if spans_decades(values):
        return "the values span more than two decades: no interval of the mean"
    return ""


def _mean(values: Sequence[float]) -> float:
    return float(exact.mean(values))


def standard_deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation of two or more finite values."""
    return float(exact.stdev(values))


def spans_decades(values: Sequence[float]) -> bool:
    """Return whether values are better compared by ratio.

    Args:
        values: Numbers, infinities allowed.

    Returns:
        True when no finite value is negative and the positive ones span more than two decades.
    """
    finite = [v for v in values if math.isfinite(v)]
    positive = [v for v in finite if v > 0]
    if not positive or min(finite) < 0:
        return False
    return math.log10(max(positive)) - math.log10(min(positive)) > _DECADES
