"""A search space: named dimensions, some of which exist only under a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from ecd_tune.errors import SpaceError
from ecd_tune.records import Params, Scalar
from ecd_tune.space.conditions import Condition, describe_condition
from ecd_tune.space.dimensions import Choice, Dimension, Fixed, Float, Suggester

__all__ = ["Space", "Suggester"]


@dataclass(frozen=True)
class Space:
    """Named dimensions, in the order in which they are drawn.

    The same object serves Optuna's suggestions, random draws, grids, validation and the report's
    text. A dimension with a condition is drawn only where the parameter it depends on, which must
    be listed before it, has one of the given values.

    Attributes:
        dimensions: Name to dimension.

    Raises:
        SpaceError: A condition names a parameter that is not listed before.
    """

    dimensions: Mapping[str, Dimension]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name, dimension in self.dimensions.items():
            zero = dimension.zero if isinstance(dimension, Float) else None
            for other in (*dimension.when, *(zero.when if zero else ())):
                if other not in seen:
                    raise SpaceError(
                        f"{name}: when = {{ {other} = … }} names a parameter that is not listed "
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

    @property
    def has_prior(self) -> bool:
        """Whether a dimension has a prior."""
        return any(
            not isinstance(d, Fixed) and d.prior is not None for d in self.dimensions.values()
        )

    def draw(self, rng: np.random.Generator, *, prior: bool = False) -> dict[str, Scalar]:
        """Draw a point at random.

        Args:
            rng: Source of randomness.
            prior: Draw the dimensions that have a prior from it; otherwise uniformly, as the rest.

        Returns:
            As :meth:`suggest`.
        """
        point: dict[str, Scalar] = {}
        for name, dimension in self._active(point):
            point[name] = dimension.draw(rng, prior=prior)
        return point

    def resolve(self, point: Params) -> dict[str, Scalar]:
        """Replace the values that mean 0 by 0.

        Args:
            point: Parameter values by name, as drawn; others than the space's stay as they are.

        Returns:
            The resolved values.
        """
        meant = dict(point)
        for name, dimension in self.dimensions.items():
            zero = dimension.zero if isinstance(dimension, Float) else None
            if zero is not None and name in point and _holds(zero.when, point):
                value = point[name]
                meant[name] = 0.0 if float(value) < zero.below else value
        return meant

    def check(self, point: Params) -> None:
        """Check that a point is in the space.

        Args:
            point: Parameter values by name.

        Raises:
            SpaceError: A value is missing, unknown, inactive or outside; the message names it.
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
        """Iterate over all points of a space of choices, the last dimension fastest.

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
        yield from self._points(tuple(self.dimensions), {})

    def grid_size(self) -> int:
        """Return how many points :meth:`grid` has, without going through them."""
        conditions = {other for d in self.dimensions.values() for other in d.when}
        return self._count(tuple(self.dimensions), {}, conditions)

    def _points(self, names: Sequence[str], point: Params) -> Iterator[dict[str, Scalar]]:
        if not names:
            yield dict(point)
            return
        dimension = self.dimensions[names[0]]
        if not _holds(dimension.when, point):
            yield from self._points(names[1:], point)
            return
        for value in dimension.bounds():
            yield from self._points(names[1:], {**point, names[0]: value})

    def _count(self, names: Sequence[str], point: Params, conditions: Set[str]) -> int:
        """Count the points that begin with ``point``, trying only values that conditions name."""
        if not names:
            return 1
        name, rest = names[0], names[1:]
        dimension = self.dimensions[name]
        if not _holds(dimension.when, point):
            return self._count(rest, point, conditions)
        values = dimension.bounds()
        if name not in conditions:
            return len(values) * self._count(rest, point, conditions)
        return sum(self._count(rest, {**point, name: v}, conditions) for v in values)

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
