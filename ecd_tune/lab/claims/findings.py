"""Findings of calculations: a printed number against an exact one, or against an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecd_tune.analysis.checks.model import Finding, Verdict
from ecd_tune.analysis.statistics import Interval
from ecd_tune.lab.claims.printed import Number

__all__ = ["Contrast", "close_finding", "contrast", "order_finding", "rounding_finding"]


def rounding_finding(
    case: str, statistic: str, printed: Number, exact: float, samples: int = 1, note: str = ""
) -> Finding:
    """Compare a printed number with the one that it should be the rounded form of.

    Args:
        case: Description of the number.
        statistic: How it was recomputed.
        printed: The number.
        exact: Description of the recomputed number.
        samples: Of how many values.
        note: Anything to add.

    Returns:
        Supported when ``exact`` rounds to ``printed``, else refuted.
    """
    verdict = Verdict.SUPPORTED if printed.stands_for(exact) else Verdict.REFUTED
    return Finding(case, statistic, printed.value, exact, None, None, verdict, samples, note)


def close_finding(
    case: str, statistic: str, predicted: float, measured: float, tolerance: float = 0.0
) -> Finding:
    """Compare an exact number with the claim.

    Args:
        case: Description of the number.
        statistic: The computed number.
        predicted: The claim.
        measured: Description of the result.
        tolerance: Largest distance that is allowed.

    Returns:
        Supported when the two are so close, else refuted.
    """
    close = abs(measured - predicted) <= tolerance
    verdict = Verdict.SUPPORTED if close else Verdict.REFUTED
    return Finding(case, statistic, predicted, measured, None, None, verdict, 1)


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of means of independent runs.

    Attributes:
        value: The sum.
        error: Its standard error.
        degrees: Welch's and Satterthwaite's degrees of freedom.
        runs: Number of runs in all.
    """

    value: float
    error: float
    degrees: float
    runs: int

    def interval(self, level: float) -> Interval:
        """Return Student's t interval.

        Args:
            level: Confidence.

        Returns:
            The interval; a point where the runs do not vary.
        """
        quantile = float(stats.t.ppf((1 + level) / 2, self.degrees)) if self.error else 0.0
        half = quantile * self.error
        return Interval(self.value - half, self.value + half, "Welch", level)


def contrast(terms: Sequence[tuple[float, Sequence[float]]]) -> Contrast:
    """Return a weighted sum of means, with the noise of the runs; variances may differ.

    Two terms with weights 1 and −1 give Welch's comparison of two means.

    Args:
        terms: Pairs of a weight and at least two runs.

    Returns:
        The sum.
    """
    weights = np.array([weight for weight, _ in terms])
    counts = np.array([len(runs) for _, runs in terms])
    means = np.array([np.mean(runs) for _, runs in terms])
    parts = weights**2 * np.array([np.var(runs, ddof=1) for _, runs in terms]) / counts
    total, spread = float(parts.sum()), float((parts**2 / (counts - 1)).sum())
    degrees = total**2 / spread if spread else float("inf")
    return Contrast(float(weights @ means), total**0.5, degrees, int(counts.sum()))


def order_finding(
    case: str, statistic: str, printed: float, listed: Contrast, level: float
) -> Finding:
    """Ask whether listed runs bear out the sign of a printed difference.

    Args:
        case: Source of the printed number.
        statistic: Description of the difference.
        printed: The difference in print; 0 for a tie.
        listed: The same difference of the listed runs.
        level: Confidence of the interval.

    Returns:
        Supported if the interval is on the printed side of 0, refuted if it is on the other side,
        or excludes 0 where a tie is printed, else inconclusive.
    """
    found = listed.interval(level)
    sign = float(np.sign(found.low)) if np.sign(found.low) == np.sign(found.high) else 0.0
    verdict, note = Verdict.INCONCLUSIVE, _needed(listed, level)
    if sign:
        verdict = Verdict.SUPPORTED if sign == np.sign(printed) else Verdict.REFUTED
        note = ""
    return Finding(
        case, statistic, printed, listed.value, found.low, found.high, verdict, listed.runs, note
    )


def _needed(listed: Contrast, level: float) -> str:
    """Return how many runs would decide, at the present difference and spread."""
    if not listed.value:
        return ""
    quantile = float(stats.norm.ppf((1 + level) / 2))
    runs = listed.runs * (quantile * listed.error / listed.value) ** 2
    rounded = float(f"{max(runs, listed.runs + 2):.2g}")
    return f"about {rounded:,.0f} runs would decide"
