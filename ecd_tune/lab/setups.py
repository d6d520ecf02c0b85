"""Chains on a basin: the default start of all checks, and rows of several settings in one run."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecd_tune.lab.landscapes import directions
from ecd_tune.lab.trajectory import ChainSetup, Landscape, Moment
from ecd_tune.theory import Array

__all__ = ["START_RADIUS", "column", "part", "place", "potential_share", "x_of"]

START_RADIUS = float(np.sqrt(3.0))
"""|Θ| at the start, where F2 = 1, Fmin = 1 and F0 = 0 give F = 4."""


def column(chains: int, *values: float) -> Array:
    """Return a column that repeats each value for ``chains`` rows.

    Args:
        chains: Rows of each value.
        *values: One a setting.

    Returns:
        Shape ``[len(values) * chains]``.
    """
    return np.repeat(np.asarray(values, dtype=np.float64), chains)


def part(rows: Array, setting: int, chains: int) -> Array:
    """Return the rows of one setting of a run made with :func:`column`."""
    return rows[setting * chains : (setting + 1) * chains]


def place(
    landscape: Landscape,
    rng: np.random.Generator,
    rows: int,
    n: int,
    radius: float | Array = START_RADIUS,
    **settings: Any,
) -> ChainSetup:
    """Start chains in random directions on a sphere, with momenta in random directions.

    Args:
        landscape: The loss.
        rng: Source of the directions.
        rows: Number of chains.
        n: Dimension.
        radius: |Θ|, column.
        **settings: Fields of the setup.

    Returns:
        The setup.
    """
    theta = directions(rng, rows, n) * np.broadcast_to(radius, (rows,))[:, None]
    return ChainSetup(landscape, theta, directions(rng, rows, n), **settings)


def x_of(moment: Moment) -> Array:
    """Return x = (F−Fmin)/(F−F0) where Fmin = 1 and F0 = 0."""
    return 1.0 - 1.0 / moment.loss


def potential_share(moment: Moment) -> Array:
    """Return w = V/𝓔."""
    return np.exp(moment.log_potential - moment.log_energy)
