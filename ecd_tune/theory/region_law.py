"""The stationary law of x = (F−Fmin)/(F−F0) in the bounded region of s = 1.

On a quadratic basin, with u = x/(1−x) = F2|Θ|²/(Fmin−F0) and w = V/𝓔, the density in u is::

    u^{n/2−1} (1+u)^{−κη} (1−w)^power,   w = ((Fmin−F0)(1+u))^η/𝓔 < 1

The second factor is the one that the paper's (4) omits. No closed form is known; the density is
integrated by Gauss's rule in t, x = x_max sin²t, where it is smooth at both ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ecd_tune.theory._guards import Array, Numbers, Result, as_array, require

__all__ = ["RegionLaw"]

_PANELS = 128
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
_DEEP = 60.0
"""The density is cut where it falls below exp(-60) of its peak."""


class RegionLaw:
    """A distribution with the methods of a frozen scipy distribution.

    Args:
        n: Dimension.
        kappa: κ of V^{−κ}.
        eta: η.
        power: Exponent of (1−w), > -1.
        log_floor: log(V(Fmin)/𝓔) = η log(Fmin−F0) − log 𝓔, < 0.
    """

    def __init__(
        self, n: Numbers, kappa: Numbers, eta: Numbers, power: Numbers, log_floor: Numbers
    ) -> None:
        columns = np.broadcast_arrays(*map(as_array, (n, kappa, eta, power, log_floor)))
        self.shape = columns[0].shape
        self._n, self._kappa, self._eta, self._power, self._floor = (c[..., None] for c in columns)
        require(self._floor < 0, "RegionLaw", "needs V(Fmin) < 𝓔", log_floor=self._floor)
        self._x_max: Array = -np.expm1(self._floor / self._eta)
        peak = self._solve(lambda t: self._slope(t) > 0, np.zeros_like(self._n), np.pi / 2)
        self._top = self._log_density(peak)
        alive = -_DEEP + self._top
        zero = np.zeros_like(peak)
        self._begin = self._solve(lambda t: self._log_density(t) < alive, zero, peak)
        end = self._solve(lambda t: self._log_density(t) > alive, peak, np.pi / 2)
        self._width = (end - self._begin) / _PANELS
        self._t = self._begin + self._width * (np.arange(_PANELS)[:, None] + _NODES).ravel()
        mass = np.exp(self._log_density(self._t) - self._top) * np.tile(_WEIGHTS, _PANELS)
        panels = mass.reshape(*self.shape, _PANELS, -1).sum(-1)
        self._total = panels.sum(-1, keepdims=True)
        self._mass = mass / self._total
        filled = np.cumsum(panels, axis=-1) / self._total
        self._filled = np.concatenate([zero, filled], axis=-1)

    def _log_density(self, t: Array) -> Array:
        """Return the log of the density in t, up to a constant."""
        with np.errstate(divide="ignore"):
            sine, cosine = np.log(np.sin(t)), np.log(np.cos(t))
            left = np.log1p(-self._x_max * np.sin(t) ** 2)
        rest = self._log_rest(left)
        slope = (self._n - 1) * sine + cosine + (self._kappa * self._eta - self._n / 2 - 1) * left
        return np.asarray(slope + self._power * rest)

    def _log_rest(self, left: Array) -> Array:
        """Return log(1−w), given log(1−x)."""
        with np.errstate(divide="ignore"):
            return np.log(-np.expm1(np.minimum(self._floor - self._eta * left, 0.0)))

    def _slope(self, t: Array) -> Array:
        """Return the derivative of the log density in t, times sin t cos t."""
        sine2 = np.sin(t) ** 2
        remaining = 1 - self._x_max * sine2
        pull = 2 * self._x_max * sine2 * np.cos(t) ** 2 / remaining
        w = np.exp(np.minimum(self._floor - self._eta * np.log(remaining), -1e-300))
        tail = self._power * self._eta * w / -np.expm1(np.minimum(np.log(w), -1e-16)) * pull
        middle = (self._kappa * self._eta - self._n / 2 - 1) * pull
        return np.asarray((self._n - 1) * np.cos(t) ** 2 - sine2 - middle - tail)

    @staticmethod
    def _solve(below: Callable[[Array], Any], low: Array, high: Array | float) -> Array:
        """Bisect for the place where ``below`` turns from true to false."""
        high = np.broadcast_to(high, low.shape)
        for _ in range(60):
            middle = 0.5 * (low + high)
            up = below(middle)
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        return np.asarray(0.5 * (low + high))

    def support(self) -> tuple[Result, Result]:
        """Return the ends of the allowed region: 0 and the x at which V = 𝓔."""
        return np.zeros(self.shape)[()], self._x_max[..., 0][()]

    def expect(self, function: Callable[[Array], Array]) -> Result:
        """Return E[function(x)] for a function of arrays."""
        x = self._x_max * np.sin(self._t) ** 2
        return (self._mass * function(x)).sum(-1)[()]

    def mean(self) -> Result:
        """Return E[x]."""
        return self.expect(lambda x: x)

    def var(self) -> Result:
        """Return the variance of x."""
        mean = np.asarray(self.mean())[..., None]
        return self.expect(lambda x: (x - mean) ** 2)

    def std(self) -> Result:
        """Return the standard deviation of x."""
        return np.sqrt(self.var())

    def median(self) -> Result:
        """Return the median of x."""
        return self.ppf(0.5)

    def logpdf(self, x: Numbers) -> Result:
        """Return the log density at x; -inf outside the support."""
        x = np.broadcast_to(as_array(x), np.broadcast_shapes(np.shape(x), self.shape))[..., None]
        inside = (x > 0) & (x < self._x_max)
        t = np.arcsin(np.sqrt(np.where(inside, x, 0.5 * self._x_max) / self._x_max))
        # dx = x_max sin 2t dt
        jacobian = np.log(self._x_max * np.sin(2 * t) * self._width * self._total)
        value = self._log_density(t) - self._top - jacobian
        return np.where(inside, value, -np.inf)[..., 0][()]

    def pdf(self, x: Numbers) -> Result:
        """Return the density at x."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: Numbers) -> Result:
        """Return P(X <= x)."""
        x = np.broadcast_to(as_array(x), np.broadcast_shapes(np.shape(x), self.shape))[..., None]
        t = np.arcsin(np.sqrt(np.clip(x / self._x_max, 0.0, 1.0)))
        place = np.clip((t - self._begin) / self._width, 0.0, _PANELS)
        panel = np.minimum(place.astype(int), _PANELS - 1)
        filled = np.broadcast_to(self._filled, (*t.shape[:-1], _PANELS + 1))
        before = np.take_along_axis(filled, panel, axis=-1)
        part = place - panel
        inner = self._begin + self._width * (panel + part * _NODES)
        mass = part * (np.exp(self._log_density(inner) - self._top) @ _WEIGHTS)[..., None]
        return np.clip(before + mass / self._total, 0.0, 1.0)[..., 0][()]

    def sf(self, x: Numbers) -> Result:
        """Return P(X > x)."""
        return 1.0 - self.cdf(x)

    def ppf(self, q: Numbers) -> Result:
        """Return the quantile of q, by bisection."""
        q = np.broadcast_to(as_array(q), np.broadcast_shapes(np.shape(q), self.shape))
        require((q >= 0) & (q <= 1), "ppf", "a probability must be between 0 and 1", q=q)
        low, high = np.zeros(q.shape), np.broadcast_to(self._x_max[..., 0], q.shape)
        for _ in range(60):
            middle = 0.5 * (low + high)
            up = self.cdf(middle) < q
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        return (0.5 * (low + high))[()]

    def interval(self, confidence: float) -> tuple[Result, Result]:
        """Return the quantiles with probability ``confidence`` between them and equal tails."""
        return self.ppf((1 - confidence) / 2), self.ppf((1 + confidence) / 2)

    def rvs(
        self,
        size: int | tuple[int, ...] | None = None,
        random_state: np.random.Generator | int | None = None,
    ) -> Result:
        """Draw from the law by inverting its distribution function.

        Args:
            size: Shape of the draws; None is one of each law.
            random_state: Generator or seed.

        Returns:
            The draws.
        """
        rng = np.random.default_rng(random_state)
        return self.ppf(rng.random(self.shape if size is None else size))
