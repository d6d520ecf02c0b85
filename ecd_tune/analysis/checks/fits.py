"""Least squares with the covariance of the fit, and shares with exact intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ecd_tune.analysis.checks.rules import Estimate
from ecd_tune.analysis.statistics import share_interval
from ecd_tune.theory import Array

__all__ = ["Fit", "fit", "share"]


@dataclass(frozen=True)
class Fit:
    """A linear fit.

    Attributes:
        coefficients: Intercept, then one a column.
        covariance: Theirs, scaled by the residuals' scatter.
        count: Number of points.
    """

    coefficients: Array
    covariance: Array
    count: int

    def estimate(self, which: int) -> Estimate:
        """Return a coefficient with its interval; 0 is the intercept."""
        error = float(np.sqrt(self.covariance[which, which]))
        return self._estimate(float(self.coefficients[which]), error)

    def ratio(self, over: int, under: int) -> Estimate:
        """Return the ratio of two coefficients, its error to first order (delta method)."""
        value = self.coefficients[over] / self.coefficients[under]
        lever = np.zeros_like(self.coefficients)
        lever[over], lever[under] = 1.0, -value
        error = np.sqrt(lever @ self.covariance @ lever) / abs(self.coefficients[under])
        return self._estimate(float(value), float(error))

    def _estimate(self, value: float, error: float) -> Estimate:
        return Estimate(value, error, self.count, len(self.coefficients))


def fit(y: Array, *columns: Array, errors: Array | None = None) -> Fit:
    """Fit a constant and columns to points.

    Args:
        y: Shape ``[N]``.
        *columns: Explaining columns, ``[N]`` each.
        errors: Standard errors of the points up to a common factor; equal ones by default.

    Returns:
        The fit; its covariance is infinite where there are no more points than coefficients.
    """
    weights = np.ones_like(y) if errors is None else 1.0 / errors
    design = np.column_stack([np.ones_like(y), *columns]) * weights[:, None]
    coefficients = np.asarray(np.linalg.lstsq(design, y * weights, rcond=None)[0], np.float64)
    size, freedom = design.shape[1], len(y) - design.shape[1]
    if freedom < 1:
        return Fit(coefficients, np.full((size, size), np.inf), len(y))
    residuals = y * weights - design @ coefficients
    scatter = float(residuals @ residuals) / freedom
    return Fit(coefficients, scatter * np.linalg.pinv(design.T @ design), len(y))


def share(successes: int, total: int) -> Estimate:
    """Return a share with its exact binomial interval.

    Args:
        successes: From 0 to ``total``.
        total: Number of tries, at least one.

    Returns:
        The share; its standard error is that of a share with one more success and failure, so
        that it is not 0 at the ends.
    """
    smooth = (successes + 1) / (total + 2)
    found = Estimate(successes / total, math.sqrt(smooth * (1 - smooth) / total), total)
    interval = share_interval(successes, total)
    assert interval is not None  # there are tries
    found.low, found.high = interval.low, interval.high
    return found
