"""A search space: named dimensions, some of which exist only under a condition."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ecd_tune.errors import SpaceError
from ecd_tune.records import Params, Scalar
from ecd_tune.space.dimensions import (
    Choice,
    Condition,
    Dimension,
    Fixed,
    Float,
    Suggester,
    describe_condition,
)

__all__ = ["Space", "Suggester"]


@dataclass(frozen=True)
class Space:
    """Named dimensions, in the order in which they are drawn.

    The same object serves Optuna's suggestions, random draws, grids, validation and the
    report's text. A dimension with a condition is drawn only where the parameter it depends on,
    which must stand before it, has one of the named values.

    Attributes:
        dimensions: Name to dimension.

    Raises:
        SpaceError: A condition names a parameter that does not stand before.
    """

    dimensions: Mapping[str, Dimension]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name, dimension in self.dimensions.items():
            zero = dimension.zero if isinstance(dimension, Float) else None
            for other in (*dimension.when, *(zero.when if zero else ())):
                if other not in seen:
                    raise SpaceError(
                        f"{name}: when = {{ {other} = … }} names a parameter that does not stand "
                        f"before it; allowed: {', '.join(sorted(seen)) or 'none'}"
                    )
            seen.add(name)

    @property
    def searched(self) -> tuple[str, ...]:
        """Names of the dimensions that vary."""
        return tuple(n for n, d in self.dimensions.items() if not isinstance(d, Fixed))

    def suggest(self, trial: Suggester) -> dict[str, Scalar]:
        """Draw a point through Optuna's ``suggest_*`` methods.

        Args:
            trial: An Optuna trial, or anything with its three methods.

        Returns:
            Parameter values by name, fixed ones included, inactive ones absent.
        """
        point: dict[str, Scalar] = {}
        for name, dimension in self._active(point):
            point[name] = dimension.suggest(name, trial)
        return point

    def draw(self, rng: np.random.Generator) -> dict[str, Scalar]:
        """Draw a point at random.

        Args:
            rng: Source of randomness.

        Returns:
            As :meth:`suggest`.
        """
        point: dict[str, Scalar] = {}
        for name, dimension in self._active(point):
            point[name] = dimension.draw(rng)
        return point

    def settle(self, point: Params) -> dict[str, Scalar]:
        """Put 0 in the place of the values that stand for it.

        Args:
            point: Parameter values by name, as drawn; others than the space's stay as they are.

        Returns:
            What they mean.
        """
        meant = dict(point)
        for name, dimension in self.dimensions.items():
            zero = dimension.zero if isinstance(dimension, Float) else None
            if zero is not None and name in point and _holds(zero.when, point):
                value = point[name]
                meant[name] = 0.0 if float(value) < zero.below else value
        return meant

    def check(self, point: Params) -> None:
        """Check that a point lies in the space.

        Args:
            point: Parameter values by name.

        Raises:
            SpaceError: A value is missing, unknown, inactive or outside; the message says which.
        """
        expected = dict(self._active(point))
        for name in point:
            if name not in expected:
                known = "not active here" if name in self.dimensions else "not in the space"
                raise SpaceError(f"{name} = {point[name]!r}: {known}; active: {list(expected)}")
        for name, dimension in expected.items():
            if name not in point:
                raise SpaceError(f"{name}: missing; allowed {dimension.describe()}")
            if not dimension.contains(point[name]):
                raise SpaceError(f"{name} = {point[name]!r}: allowed {dimension.describe()}")

    def grid(self) -> Iterator[dict[str, Scalar]]:
        """Go through all points of a space of choices, the last dimension fastest.

        Yields:
            Points, as :meth:`suggest`.

        Raises:
            SpaceError: A dimension is a range, which has no grid.
        """
        for name, dimension in self.dimensions.items():
            if not isinstance(dimension, (Choice, Fixed)):
                raise SpaceError(
                    f"{name} = {dimension.describe()}: a grid needs a list of values for every "
                    "parameter"
                )
        seen: set[tuple[tuple[str, Scalar], ...]] = set()
        for values in itertools.product(*(d.bounds() for d in self.dimensions.values())):
            whole = dict(zip(self.dimensions, values, strict=True))
            point = {name: whole[name] for name, _ in self._active(whole)}
            key = tuple(point.items())
            if key not in seen:
                seen.add(key)
                yield point

    def describe(self) -> dict[str, str]:
        """Return one line of text a dimension, by name."""
        return {
            name: dimension.describe() + describe_condition(dimension.when)
            for name, dimension in self.dimensions.items()
        }

    def _active(self, point: Params) -> Iterator[tuple[str, Dimension]]:
        # Reads ``point`` lazily: a caller that fills it while iterating decides what is active.
        for name, dimension in self.dimensions.items():
            if _holds(dimension.when, point):
                yield name, dimension


def _holds(when: Condition, point: Params) -> bool:
    return all(point.get(other) in values for other, values in when.items())
