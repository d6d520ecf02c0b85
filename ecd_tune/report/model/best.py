"""The best hyperparameters that a search has found. Loads neither scipy nor pandas nor torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecd_tune.analysis.chosen import ChosenTrial
from ecd_tune.records import Scalar, StudyKey, TrialRecord
from ecd_tune.registry import OPTIMIZERS
from ecd_tune.report.model.searches import best_search, chosen_trials
from ecd_tune.space import DERIVED, RESOLVED, Choice, Dimension, Fixed, Float
from ecd_tune.spec import SEARCHABLE_SCHEDULE, OptimizerSpec, StudySpec, number_of

__all__ = [
    "BestHyperparameters",
    "BestParam",
    "best_hyperparameters",
    "edge_of",
]

_EDGE = 0.02


@dataclass(frozen=True)
class BestParam:
    """One hyperparameter of the best trial.

    Attributes:
        name: Its name.
        value: Its value.
        allowed: Range of the search, in words.
        edge: ``"low"`` or ``"high"`` if the value is at that edge of the range.
    """

    name: str
    value: Scalar
    allowed: str
    edge: str = ""


@dataclass(frozen=True)
class BestHyperparameters:
    """The best trial of one optimizer, of all its searches.

    Attributes:
        study: Name of the study.
        optimizer: Key in the study.
        registry_name: Name of the registered optimizer.
        title: Title in reports.
        metric: Description of the value.
        search: Number of the search that found it, from 1.
        trial: Number of the trial in that search.
        value: Its value in the search.
        selected: Mean over the seeds of the selection, which it was chosen by; None without one.
        params: Its hyperparameters as searched, in the space's order.
        resolved: Resolved values of searched quantities such as ν√n, and values that mean 0.
    """

    study: str
    optimizer: str
    registry_name: str
    title: str
    metric: str
    search: int
    trial: int
    value: float
    selected: float | None
    params: tuple[BestParam, ...]
    resolved: tuple[BestParam, ...] = ()

    @property
    def values(self) -> dict[str, Scalar]:
        """Hyperparameter name to value, as searched."""
        return {param.name: param.value for param in self.params}

    @property
    def given(self) -> dict[str, Scalar]:
        """Arguments of the optimizer: ν for ν√n, without the schedule."""
        own = OPTIMIZERS.get(self.registry_name).hyperparameters
        other = {*DERIVED, *SEARCHABLE_SCHEDULE} - set(own)
        values = {name: value for name, value in self.values.items() if name not in other}
        return values | {param.name: param.value for param in self.resolved}

    @property
    def schedule(self) -> dict[str, Scalar]:
        """Searched keys of the learning rate's schedule."""
        given = self.given
        return {k: self.values[k] for k in SEARCHABLE_SCHEDULE if k in self.values.keys() - given}

    @property
    def lines(self) -> tuple[BestParam, ...]:
        """All values to show: searched and resolved."""
        return (*self.params, *self.resolved)


def best_hyperparameters(
    spec: StudySpec, trials: Mapping[StudyKey, Sequence[TrialRecord]]
) -> tuple[BestHyperparameters, ...]:
    """Pick the best trial of each optimizer.

    Args:
        spec: The study.
        trials: Records by study key; curves are not needed.

    Returns:
        One entry for each optimizer with a complete search trial, in the study's order.
    """
    found = []
    for key in spec.optimizers:
        chosen = chosen_trials(spec, trials, key)
        search = best_search(spec, chosen)
        if search is not None:
            found.append(_describe(spec, key, search, chosen[search]))
    return tuple(found)


def _describe(spec: StudySpec, key: str, search: str, chosen: ChosenTrial) -> BestHyperparameters:
    optimizer, record = spec.optimizers[key], chosen.record
    assert record.value is not None  # a chosen trial is complete
    dimensions, words = optimizer.space.dimensions, optimizer.space.describe()
    order = [*(n for n in dimensions if n in record.params), *sorted(record.params)]
    params = tuple(
        BestParam(n, record.params[n], words.get(n, "not in the space"), _edge(dimensions, n, v))
        for n, v in ((name, record.params[name]) for name in dict.fromkeys(order))
    )
    return BestHyperparameters(
        study=spec.name,
        optimizer=key,
        registry_name=optimizer.optimizer,
        title=optimizer.title or optimizer.definition.title,
        metric=spec.metric + (" (oracle)" if spec.oracle else ""),
        search=number_of(search),
        trial=record.number,
        value=record.value,
        selected=chosen.selected,
        params=params,
        resolved=tuple(_resolved(optimizer, record)),
    )


def _resolved(optimizer: OptimizerSpec, record: TrialRecord) -> Iterator[BestParam]:
    for name, derived in DERIVED.items():
        value = record.metrics.get(f"{RESOLVED}{derived.target}")
        if name in record.params and value is not None:
            yield BestParam(derived.target, value, f"= {derived.words}")
    for name, dimension in optimizer.space.dimensions.items():
        value = record.metrics.get(f"{RESOLVED}{name}")
        if isinstance(dimension, Float) and dimension.zero is not None and value is not None:
            yield BestParam(name, value, f"0, as all values below {dimension.zero.below:g}")


def _edge(dimensions: Mapping[str, Dimension], name: str, value: Scalar) -> str:
    return edge_of(dimensions[name], value) if name in dimensions else ""


def edge_of(dimension: Dimension, value: Scalar) -> str:
    """Return whether a value is at an edge of the searched range.

    A range's edge is its outer 2 %, in the logarithm where it is drawn so. A list of choices has
    no edge.

    Args:
        dimension: The searched dimension.
        value: A value of it.

    Returns:
        ``"low"``, ``"high"`` or an empty string.
    """
    if isinstance(value, (bool, str)) or isinstance(dimension, (Fixed, Choice)):
        return ""
    low, high, at = float(dimension.low), float(dimension.high), float(value)
    if isinstance(dimension, Float) and dimension.zero is not None and at < dimension.zero.below:
        return ""  # 0, and there is nothing below
    if dimension.log:
        if at <= 0:
            return "low"
        low, high, at = math.log(low), math.log(high), math.log(at)
    place = (at - low) / (high - low)
    return "low" if place < _EDGE else "high" if place > 1 - _EDGE else ""
