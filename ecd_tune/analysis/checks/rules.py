"""The decision rules, fixed before anything is measured.

- R: a statistic with its 95 % interval against [T₀ − tol, T₀ + tol], or against another range that
  is allowed. Supported if the interval is inside, refuted if it is outside, else inconclusive.
- B: a bound. Refuted by any excess above 1e-9, supported after 1e5 steps without one.

Chains, or trials, are the independent units: intervals are Student's t over them, for anything
but a mean over the pseudo-values of the jackknife.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from ecd_tune.analysis.checks.model import Finding, Verdict
from ecd_tune.theory import Array

__all__ = [
    "BOUND_SLACK",
    "BOUND_STEPS",
    "Estimate",
    "bound_finding",
    "jackknife",
    "range_verdict",
    "mean",
    "units_needed",
]

BOUND_STEPS = 100_000
BOUND_SLACK = 1e-9
POWER = 0.8
"""Probability of a decision at the reported number of units."""
_MOST_UNITS = 10_000_000


class Estimate:
    """A statistic with its 95 % interval.

    Args:
        value: The statistic.
        error: Its standard error.
        count: Number of independent units.
        parameters: Numbers fitted to them, this one included.
    """

    def __init__(self, value: float, error: float, count: int, parameters: int = 1) -> None:
        self.value, self.error, self.count = float(value), float(error), count
        self.parameters = parameters
        half = self.half_width(count)
        self.low, self.high = self.value - half, self.value + half

    def half_width(self, count: int) -> float:
        """Return half of the 95 % interval's width, were there ``count`` units."""
        freedom = count - self.parameters
        if freedom < 1:
            return math.inf
        return float(stats.t.ppf(0.975, freedom)) * self.error * math.sqrt(self.count / count)


def mean(values: Array) -> Estimate:
    """Return the mean of independent values.

    Args:
        values: Shape ``[N]``.

    Returns:
        Mean and standard error.
    """
    count = len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Estimate(float(np.mean(values)), error, count)


def jackknife(statistic: Callable[..., float], *samples: Array) -> Estimate:
    """Return a statistic of independent units, with the jackknife's standard error.

    Args:
        statistic: Of the same arrays with one unit left out each time.
        *samples: Arrays whose first axis runs over the units.

    Returns:
        The plain statistic and its standard error.
    """
    count = len(samples[0])
    whole = statistic(*samples)
    if count < 2:
        return Estimate(whole, math.inf, count)
    keep = ~np.eye(count, dtype=bool)
    left_out = np.array([statistic(*(x[row] for x in samples)) for row in keep])
    spread = float(np.sum((left_out - left_out.mean()) ** 2))
    return Estimate(whole, math.sqrt((count - 1) / count * spread), count)


def range_verdict(low: float, high: float, least: float, most: float) -> Verdict:
    """Rule R.

    Args:
        low: Lower end of the 95 % interval.
        high: Upper end.
        least: Lower end of the range that is allowed; may be infinite.
        most: Upper end; may be infinite.

    Returns:
        The verdict; inconclusive when the interval is not a number.
    """
    if high < least or low > most:
        return Verdict.REFUTED
    if low >= least and high <= most:
        return Verdict.SUPPORTED
    return Verdict.INCONCLUSIVE


def units_needed(estimate: Estimate, least: float, most: float) -> int | None:
    """Return how many units rule R needs to decide with probability 0.8.

    It is assumed that the statistic is where it was measured, that its error falls as one over
    the root of the number of units, and that it is normal.

    Args:
        estimate: As measured.
        least: Lower end of the range that is allowed.
        most: Upper end.

    Returns:
        The number, larger than the present one; None when the error is not known, or if even ten
        million would not be sufficient because the statistic is at an end of the range.
    """
    if not (math.isfinite(estimate.value) and math.isfinite(estimate.error)):
        return None
    too_few, enough = estimate.count, 2 * estimate.count
    while _power(estimate, enough, least, most) < POWER:
        too_few, enough = enough, 2 * enough
        if enough > _MOST_UNITS:
            return None
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        decided = _power(estimate, middle, least, most) >= POWER
        too_few, enough = (too_few, middle) if decided else (middle, enough)
    return enough


def _power(estimate: Estimate, count: int, least: float, most: float) -> float:
    """Return the probability that ``count`` units decide, for the present value."""
    error = estimate.error * math.sqrt(estimate.count / count)
    half = estimate.half_width(count)
    if not (error > 0 and math.isfinite(half)):
        return float(math.isfinite(half))
    law = stats.norm(estimate.value, error)
    if least <= estimate.value <= most:
        return float(law.cdf(most - half) - law.cdf(least + half))
    return float(law.cdf(least - half) if estimate.value < least else law.sf(most + half))


def bound_finding(
    case: str, statistic: str, largest: float, bound: float, excess: float, steps: int
) -> Finding:
    """Apply rule B.

    Args:
        case: The setting.
        statistic: The bounded statistic.
        largest: Its largest value.
        bound: The bound.
        excess: How far it is exceeded, in the units of the rule; <= 1e-9 is none.
        steps: Number of chain-steps.

    Returns:
        The finding.
    """
    verdict, note = Verdict.SUPPORTED, ""
    if not excess <= BOUND_SLACK:
        verdict = Verdict.REFUTED
    elif steps < BOUND_STEPS:
        verdict, note = Verdict.INCONCLUSIVE, f"needs {BOUND_STEPS} chain-steps"
    return Finding(case, statistic, bound, largest, None, None, verdict, steps, note, "≤")
