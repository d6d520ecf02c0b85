"""The tables of Optuna that the store reads and writes, and the plain forms of their cells.

Optuna keeps these models private; this module is the only one that imports them, and a test
pins the columns that are used.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Direction, Scalar, TrialState
from ecd_tune.space import Choice, Dimension, Fixed, Float

__all__ = [
    "FINITE",
    "OPTUNA_METADATA",
    "dump_attr",
    "from_intermediate",
    "intermediate_values",
    "load_attr",
    "parse_distribution",
    "single_distribution",
    "studies",
    "study_directions",
    "study_system_attributes",
    "study_user_attributes",
    "to_distribution",
    "to_intermediate",
    "to_json",
    "to_optuna_direction",
    "to_optuna_state",
    "to_state",
    "to_value",
    "trial_params",
    "trial_system_attributes",
    "trial_user_attributes",
    "trial_values",
    "trials",
]

OPTUNA_METADATA: sa.MetaData = models.BaseModel.metadata

studies: sa.Table = models.StudyModel.__table__
study_directions: sa.Table = models.StudyDirectionModel.__table__
study_system_attributes: sa.Table = models.StudySystemAttributeModel.__table__
study_user_attributes: sa.Table = models.StudyUserAttributeModel.__table__
trials: sa.Table = models.TrialModel.__table__
trial_params: sa.Table = models.TrialParamModel.__table__
trial_values: sa.Table = models.TrialValueModel.__table__
trial_user_attributes: sa.Table = models.TrialUserAttributeModel.__table__
trial_system_attributes: sa.Table = models.TrialSystemAttributeModel.__table__
intermediate_values: sa.Table = models.TrialIntermediateValueModel.__table__

FINITE = models.TrialValueModel.TrialValueType.FINITE


def to_optuna_state(state: TrialState) -> OptunaState:
    """Return Optuna's own state."""
    return OptunaState[state.value]


def to_state(state: OptunaState) -> TrialState:
    """Return the record's state."""
    return TrialState(state.name)


def to_optuna_direction(direction: Direction) -> StudyDirection:
    """Return Optuna's own direction."""
    return StudyDirection[direction.name]


def to_distribution(dimension: Dimension) -> BaseDistribution | None:
    """Return the distribution that Optuna's trial uses for a dimension; None for a fixed one."""
    if isinstance(dimension, Fixed):
        return None
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if isinstance(dimension, Float):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return IntDistribution(dimension.low, dimension.high, log=dimension.log)


def single_distribution(value: Scalar) -> BaseDistribution:
    """Return the distribution with a single value."""
    if isinstance(value, (bool, str)):
        return CategoricalDistribution((value,))
    if isinstance(value, int):
        return IntDistribution(value, value)
    return FloatDistribution(value, value)


@lru_cache(maxsize=4096)
def to_json(distribution: BaseDistribution) -> str:
    """Return a distribution as Optuna stores it."""
    return distribution_to_json(distribution)


@lru_cache(maxsize=4096)
def parse_distribution(text: str) -> BaseDistribution:
    """Read a distribution as Optuna stores it."""
    return json_to_distribution(text)


def dump_attr(value: Any) -> str:
    """Return an attribute's value as Optuna stores it."""
    return json.dumps(value)


def load_attr(text: str) -> Any:
    """Read an attribute's value as Optuna stores it."""
    return json.loads(text)


def to_value(value: float | None, kind: Any) -> float:
    """Return a stored value as a number, infinities included."""
    return float(models.TrialValueModel.stored_repr_to_value(value, kind))


def to_intermediate(value: float | None, kind: Any) -> float:
    """Return a stored intermediate value as a number, infinities and NaN included."""
    return float(models.TrialIntermediateValueModel.stored_repr_to_intermediate_value(value, kind))


def from_intermediate(value: float) -> tuple[float | None, Any]:
    """Return an intermediate value as Optuna stores it: a number if finite, and its kind."""
    stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return stored, kind
