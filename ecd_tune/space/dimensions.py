"""One dimension of a search space.

Four kinds: :class:`Float`, :class:`Int`, :class:`Choice` and :class:`Fixed`. Each can ask a
suggester (Optuna's trial, or any object with its three ``suggest_*`` methods), draw at random,
check a value and describe itself in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ecd_tune.errors import SpaceError
from ecd_tune.records import Scalar
from ecd_tune.space.conditions import Condition, Zero, describe_condition
from ecd_tune.space.priors import (
    Prior,
    check_prior,
    check_weights,
    describe_prior,
    prior_quantile,
)

__all__ = ["Choice", "Dimension", "Fixed", "Float", "Int", "Suggester"]


class Suggester(Protocol):
    """The part of Optuna's trial that a space needs."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw from [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Draw a whole number from low to high, both included."""

    def suggest_categorical(self, name: str, choices: tuple[Scalar, ...]) -> Scalar:
        """Draw one of the choices."""


def _check_range(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SpaceError(f"low = {low}, high = {high}; both must be finite numbers")
    if low >= high:
        raise SpaceError(
            f"low = {low:g}, high = {high:g}; low must be smaller than high "
            "(write a single value to fix the parameter)"
        )
    if log and low <= 0:
        raise SpaceError(f"low = {low:g}; a log range needs low > 0; set for example 1e-8")


@dataclass(frozen=True)
class Float:
    """A real number in [low, high], uniform, or uniform in the logarithm.

    Attributes:
        low: Lower end.
        high: Upper end, > low.
        log: Uniform in log; needs low > 0.
        when: Condition under which the parameter exists.
        zero: The values that mean 0, or None.
        prior: Where good values are expected, or None.
    """

    low: float
    high: float
    log: bool = False
    when: Condition = field(default_factory=dict)
    zero: Zero | None = None
    prior: Prior | None = None

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)
        if self.prior is not None:
            check_prior(self.prior, self.low, self.high, self.log)
        if self.zero is not None and not max(self.low, 0.0) < self.zero.below <= self.high:
            raise SpaceError(
                f"zero = {{ below = {self.zero.below:g} }}; must be above 0, in ({self.low:g}, "
                f"{self.high:g}]"
            )

    def suggest(self, name: str, trial: Suggester) -> Scalar:
        """Ask ``trial`` for a value."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def draw(self, rng: np.random.Generator, *, prior: bool = False) -> Scalar:
        """Draw at random, independently of any sampler; from the prior if there is one and asked.

        Args:
            rng: Source of randomness.
            prior: Draw from the prior, if there is one; otherwise uniformly.

        Returns:
            The value.
        """
        if prior and self.prior is not None:
            value = prior_quantile(self.prior, rng.random(), self.low, self.high, self.log)
        elif self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        return float(np.clip(value, self.low, self.high))

    def contains(self, value: object) -> bool:
        """Return whether ``value`` is in the range."""
        return (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def describe(self) -> str:
        """Describe the values that can be drawn."""
        words = f"[{self.low:g}, {self.high:g}]{' log' if self.log else ''}"
        if self.zero is not None:
            words += f", below {self.zero.below:g} none (0){describe_condition(self.zero.when)}"
        if self.prior is not None:
            words += f", {describe_prior(self.prior, self.low, self.high, self.log)}"
        return words

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Int:
    """A whole number from low to high, both included.

    Attributes:
        low: Smallest value.
        high: Largest value, > low.
        log: Uniform in log; needs low > 0.
        when: Condition under which the parameter exists.
        prior: Where good values are expected, or None.
    """

    low: int
    high: int
    log: bool = False
    when: Condition = field(default_factory=dict)
    prior: Prior | None = None

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)
        if self.prior is not None:
            check_prior(self.prior, self.low, self.high, self.log)

    def suggest(self, name: str, trial: Suggester) -> Scalar:
        """Ask ``trial`` for a value."""
        return trial.suggest_int(name, self.low, self.high, log=self.log)

    def draw(self, rng: np.random.Generator, *, prior: bool = False) -> Scalar:
        """Draw as :meth:`Float.draw`; a prior's values are rounded."""
        ends = self.low - 0.5, self.high + 0.5
        if prior and self.prior is not None:
            value = prior_quantile(self.prior, rng.random(), *ends, self.log)
        elif self.log:
            value = math.exp(rng.uniform(math.log(ends[0]), math.log(ends[1])))
        else:
            return int(rng.integers(self.low, self.high, endpoint=True))
        return int(np.clip(round(value), self.low, self.high))

    def contains(self, value: object) -> bool:
        """Return whether ``value`` is a whole number in the range."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def describe(self) -> str:
        """Describe the values that can be drawn."""
        words = f"{{{self.low}, …, {self.high}}}{' log' if self.log else ''}"
        if self.prior is not None:
            ends = self.low - 0.5, self.high + 0.5
            words += f", {describe_prior(self.prior, *ends, self.log)}"
        return words

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
        values: At least two distinct values.
        when: Condition under which the parameter exists.
        prior: A weight for each value, proportional to how often it is expected to be the best;
            or None.
    """

    values: tuple[Scalar, ...]
    when: Condition = field(default_factory=dict)
    prior: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        keys = [_meaning(value) for value in self.values]
        if len(keys) < 2:
            raise SpaceError(f"choices = {list(self.values)}; at least two values needed")
        twice = [value for value, key in zip(self.values, keys, strict=True) if keys.count(key) > 1]
        if twice:
            raise SpaceError(
                f"choices = {list(self.values)}; {', '.join(map(repr, twice))} are the same value; "
                "remove duplicates"
            )
        if self.prior is not None:
            check_weights(self.prior, len(self.values))

    def suggest(self, name: str, trial: Suggester) -> Scalar:
        """Ask ``trial`` for a value."""
        return trial.suggest_categorical(name, self.values)

    def draw(self, rng: np.random.Generator, *, prior: bool = False) -> Scalar:
        """Draw as :meth:`Float.draw`."""
        if prior and self.prior is not None:
            shares = np.array(self.prior) / sum(self.prior)
            return self.values[int(rng.choice(len(self.values), p=shares))]
        return self.values[int(rng.integers(len(self.values)))]

    def contains(self, value: object) -> bool:
        """Return whether ``value`` is one of the choices; 1 and 1.0 are one, 1 and true are not."""
        return any(_meaning(value) == _meaning(v) for v in self.values)

    def describe(self) -> str:
        """Describe the values that can be drawn."""
        words = "{" + ", ".join(_show(v) for v in self.values) + "}"
        if self.prior is not None:
            words += f", prior {':'.join(f'{weight:g}' for weight in self.prior)}"
        return words

    def bounds(self) -> tuple[Scalar, ...]:
        """Return all choices."""
        return self.values


@dataclass(frozen=True)
class Fixed:
    """A single value, never searched.

    Attributes:
        value: The value.
        when: Condition under which the parameter exists.
    """

    value: Scalar
    when: Condition = field(default_factory=dict)

    def suggest(self, name: str, trial: Suggester) -> Scalar:
        """Return the value; the suggester is not asked."""
        return self.value

    def draw(self, rng: np.random.Generator, *, prior: bool = False) -> Scalar:
        """Return the value."""
        return self.value

    def contains(self, value: object) -> bool:
        """Return whether ``value`` is the fixed one; 1 and 1.0 are one, 1 and true are not."""
        return _meaning(value) == _meaning(self.value)

    def describe(self) -> str:
        """Describe the value."""
        return f"= {_show(self.value)}"

    def bounds(self) -> tuple[Scalar, ...]:
        """Return the value."""
        return (self.value,)


Dimension = Float | Int | Choice | Fixed


def _meaning(value: object) -> tuple[bool, object]:
    return isinstance(value, bool), value


def _show(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
