"""Hyperparameters as they are stored, and their distributions in Optuna."""

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
        params: All hyperparameters, including fixed ones.
        distributions: Optuna's distributions, for the hyperparameters that the sampler drew.
        system_attrs: Attributes that a sampler set on the trial.
    """

    params: Params
    distributions: Mapping[str, BaseDistribution]
    system_attrs: Mapping[str, Any] = field(default_factory=dict)


def distributions_of(space: Space, names: Iterable[str]) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions of hyperparameters; fixed ones have none.

    Args:
        space: The search space.
        names: Names of its dimensions.
    """
    found = {name: optuna_tables.to_distribution(space.dimensions[name]) for name in names}
    return {name: distribution for name, distribution in found.items() if distribution is not None}
