"""One dimension of a search space.

Four kinds: :class:`Float`, :class:`Int`, :class:`Choice` and :class:`Fixed`. Each can ask a
suggester (Optuna's trial, or any object with its three ``suggest_*`` methods), draw at random,
check a value and describe itself in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ecd_tune.errors import SpaceError
from ecd_tune.records import Scalar

__all__ = [
    "Choice",
    "Condition",
    "Dimension",
    "Fixed",
    "Float",
    "Int",
    "Suggester",
    "Zero",
    "describe_condition",
]

Condition = Mapping[str, tuple[Scalar, ...]]
"""Parameter name to the values for which the dimension is active; empty means always."""


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
class Zero:
    """The lower end of a range that means 0, which a logarithmic range cannot contain.

    A sampler sees the value that was drawn; the optimizer is given 0.

    Attributes:
        below: Values below this are 0.
        when: Condition under which they are; elsewhere they stay what they are.
    """

    below: float
    when: Condition = field(default_factory=dict)


@dataclass(frozen=True)
class Float:
    """A real number in [low, high], uniform, or uniform in the logarithm.

    Attributes:
        low: Lower end.
        high: Upper end, > low.
        log: Uniform in log; needs low > 0.
        when: Condition under which the parameter exists.
        zero: The values that mean 0, or None.
    """

    low: float
    high: float
    log: bool = False
    when: Condition = field(default_factory=dict)
    zero: Zero | None = None

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)
        if self.zero is not None and not max(self.low, 0.0) < self.zero.below <= self.high:
            raise SpaceError(
                f"zero = {{ below = {self.zero.below:g} }}; must be above 0, in ({self.low:g}, "
                f"{self.high:g}]"
            )

    def suggest(self, name: str, trial: Suggester) -> Scalar:
        """Ask ``trial`` for a value."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def draw(self, rng: np.random.Generator) -> Scalar:
        """Draw at random, independently of any sampler."""
        if self.log:
            return float(
                np.clip(
                    math.exp(rng.uniform(math.log(self.low), math.log(self.high))),
                    self.low,
                    self.high,
                )
            )
        return float(rng.uniform(self.low, self.high))

    def contains(self, value: object) -> bool:
        """Return whether ``value`` is in the range."""
        return (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def describe(self) -> str:
        """Say in words what may be drawn."""
        words = f"[{self.low:g}, {self.high:g}]{' log' if self.log else ''}"
        if self.zero is not None:
            words += f", below {self.zero.below:g} none (0){describe_condition(self.zero.when)}"
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
    """

    low: int
    high: int
    log: bool = False
    when: Condition = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)

    def suggest(self, name: str, trial: Suggester) -> Scalar:
        """Ask ``trial`` for a value."""
        return trial.suggest_int(name, self.low, self.high, log=self.log)

    def draw(self, rng: np.random.Generator) -> Scalar:
        """Draw at random, independently of any sampler."""
        if self.log:
            edges = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return int(np.clip(round(math.exp(rng.uniform(*edges))), self.low, self.high))
        return int(rng.integers(self.low, self.high, endpoint=True))

    def contains(self, value: object) -> bool:
        """Say whether ``value`` is a whole number in the range."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def describe(self) -> str:
        """Say in words what may be drawn."""
        return f"{{{self.low}, …, {self.high}}}{' log' if self.log else ''}"

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
        values: At least two distinct values.
        when: Condition under which the parameter exists.
    """

    values: tuple[Scalar, ...]
    when: Condition = field(default_factory=dict)

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

    def suggest(self, name: str, trial: Suggester) -> Scalar:
        """Ask ``trial`` for a value."""
        return trial.suggest_categorical(name, self.values)

    def draw(self, rng: np.random.Generator) -> Scalar:
        """Draw at random, independently of any sampler."""
        return self.values[int(rng.integers(len(self.values)))]

    def contains(self, value: object) -> bool:
        """Say whether ``value`` is one of the choices; 1 and 1.0 are one, 1 and true are not."""
        return any(_meaning(value) == _meaning(v) for v in self.values)

    def describe(self) -> str:
        """Say in words what may be drawn."""
        return "{" + ", ".join(_show(v) for v in self.values) + "}"

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

    def draw(self, rng: np.random.Generator) -> Scalar:
        """Return the value."""
        return self.value

    def contains(self, value: object) -> bool:
        """Say whether ``value`` is the fixed one; 1 and 1.0 are one, 1 and true are not."""
        return _meaning(value) == _meaning(self.value)

    def describe(self) -> str:
        """Say in words what the value is."""
        return f"= {_show(self.value)}"

    def bounds(self) -> tuple[Scalar, ...]:
        """Return the value."""
        return (self.value,)


Dimension = Float | Int | Choice | Fixed


def describe_condition(when: Condition) -> str:
    """Describe a condition.

    Args:
        when: The condition.

    Returns:
        For example `` when s = 0 or 1``; empty for a condition that is always true.
    """
    if not when:
        return ""
    parts = [f"{name} = {' or '.join(str(v) for v in values)}" for name, values in when.items()]
    return " when " + " and ".join(parts)


def _meaning(value: object) -> tuple[bool, object]:
    return isinstance(value, bool), value


def _show(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
