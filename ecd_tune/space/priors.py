"""The prior of a range: where good values are expected, and how a value is drawn from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from ecd_tune.errors import SpaceError

__all__ = ["Prior", "check_prior", "check_weights", "describe_prior", "prior_quantile"]

_NORMAL = NormalDist()
_LEAST, _MOST = math.ulp(0.0), 1 - 2**-53
"""The numbers nearest to 0 and 1 between them: the normal distribution has no quantiles beyond."""
_SHARE = 6
"""Standard deviations that a range spans where no spread is given."""


@dataclass(frozen=True)
class Prior:
    """A normal distribution that is truncated at the ends of a range.

    For a logarithmic range it is normal in the logarithm.

    Attributes:
        center: The value that is expected to be good; in the range.
        spread: One standard deviation: a difference > 0, or a factor > 1 for a logarithmic range.
            None: a sixth of the range, of its logarithm for a logarithmic one.
    """

    center: float
    spread: float | None = None


def check_prior(prior: Prior, low: float, high: float, log: bool) -> None:
    """Check that a prior fits a range.

    Args:
        prior: The prior.
        low: Lower end of the range.
        high: Upper end.
        log: Whether it is logarithmic.

    Raises:
        SpaceError: The center lies outside, or the spread is too small; the message names both.
    """
    problems = []
    if not low <= prior.center <= high:
        problems.append(f"center = {prior.center:g}; must be in the range [{low:g}, {high:g}]")
    least = 1.0 if log else 0.0
    if prior.spread is not None and not least < prior.spread < math.inf:
        kind = "a factor above 1, as the range is logarithmic" if log else "a difference above 0"
        problems.append(f"spread = {prior.spread:g}; must be {kind}")
    if problems:
        raise SpaceError(f"prior: {'; '.join(problems)}")


def check_weights(weights: Sequence[float], count: int) -> None:
    """Check that weights fit a list of choices.

    Args:
        weights: One for each choice.
        count: Number of choices.

    Raises:
        SpaceError: There are more or fewer, one or their sum is negative or
            not finite, or all are 0.
    """
    problems = []
    if len(weights) != count:
        problems.append(f"got {len(weights)}, expected {count}: one weight per choice")
    if not all(0 <= weight < math.inf for weight in weights):
        problems.append("weights must be numbers of at least 0")
    elif not sum(weights) > 0:
        problems.append("at least one weight must be above 0")
    elif math.isinf(sum(weights)):
        problems.append("the sum of the weights must be finite")
    if problems:
        raise SpaceError(f"prior = {list(weights)}: {'; '.join(problems)}")


def describe_prior(prior: Prior, low: float, high: float, log: bool) -> str:
    """Describe a prior.

    Args:
        prior: The prior.
        low: Where it is truncated below.
        high: Where it is truncated above.
        log: Whether it is normal in the logarithm.

    Returns:
        For example ``prior 0.1 (spread 3.16)``.
    """
    sigma = _sigma(prior, low, high, log)
    return f"prior {prior.center:g} (spread {math.exp(sigma) if log else sigma:.3g})"


def prior_quantile(prior: Prior, share: float, low: float, high: float, log: bool) -> float:
    """Return the value below which a share of a prior lies.

    Args:
        prior: The prior.
        share: From 0 to 1.
        low: Where it is truncated below; not above the center.
        high: Where it is truncated above; not below the center.
        log: Whether it is normal in the logarithm.

    Returns:
        The quantile, from ``low`` to ``high`` up to rounding.
    """
    sigma = _sigma(prior, low, high, log)
    first, center, last = (math.log(x) if log else x for x in (low, prior.center, high))
    below, above = (_NORMAL.cdf((end - center) / sigma) for end in (first, last))
    place = min(max(below + share * (above - below), _LEAST), _MOST)
    value = center + sigma * _NORMAL.inv_cdf(place)
    return math.exp(value) if log else value


def _sigma(prior: Prior, low: float, high: float, log: bool) -> float:
    if prior.spread is not None:
        return math.log(prior.spread) if log else prior.spread
    return (math.log(high) - math.log(low) if log else high - low) / _SHARE
