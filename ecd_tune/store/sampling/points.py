"""Hyperparameters as they are stored, and what Optuna is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution

from ecd_tune.records import Params
from ecd_tune.space import Space
from ecd_tune.store.db import optuna_tables

__all__ = ["StoredPoint", "distributions_of"]


@dataclass(frozen=True)
class StoredPoint:
    """Hyperparameters as they are stored.

    Attributes:
        params: All of them, fixed ones included.
        distributions: Of those that Optuna is to see: a sampler's, those that it drew.
        system_attrs: Attributes that a sampler set on the trial.
    """

    params: Params
    distributions: Mapping[str, BaseDistribution]
    system_attrs: Mapping[str, Any] = field(default_factory=dict)


def distributions_of(space: Space, names: Iterable[str]) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions of hyperparameters; fixed ones have none.

    Args:
        space: Where they are from.
        names: Of dimensions of the space.
    """
    found = {name: optuna_tables.to_distribution(space.dimensions[name]) for name in names}
    return {name: distribution for name, distribution in found.items() if distribution is not None}
