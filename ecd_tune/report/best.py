"""The best hyperparameters of a study, as a table, JSON, TOML, YAML or Python.

Nothing here loads scipy, pandas or torch: ``ecd-tune best`` answers at once.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecd_tune.analysis.select import best_trial
from ecd_tune.errors import UnknownNameError
from ecd_tune.records import Scalar, StudyKey, TrialRecord
from ecd_tune.registry import OPTIMIZERS
from ecd_tune.report.constructor import render_constructor
from ecd_tune.report.literals import (
    NamedTable,
    render_json_table,
    render_toml_table,
    render_yaml_table,
)
from ecd_tune.report.numbers import format_number, format_scalar
from ecd_tune.space import DERIVED, RESOLVED, Choice, Dimension, Fixed, Float
from ecd_tune.spec import SEARCHABLE_SCHEDULE, OptimizerSpec, StudySpec

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "BEST_FORMATS",
    "BestHyperparameters",
    "BestParam",
    "best_hyperparameters",
    "best_table",
    "edge_of",
    "render_best",
]

_EDGE = 0.02


@dataclass(frozen=True)
class BestParam:
    """One hyperparameter of the best trial.

    Attributes:
        name: Its name.
        value: Its value.
        allowed: What the search allowed, in words.
        edge: ``"low"`` or ``"high"`` when the value lies at that edge of what was allowed.
    """

    name: str
    value: Scalar
    allowed: str
    edge: str = ""


@dataclass(frozen=True)
class BestHyperparameters:
    """The best trial of one optimizer's search.

    Attributes:
        study: Name of the study.
        optimizer: Key in the study.
        registry_name: Name of the registered optimizer.
        title: As reports print it.
        metric: What the value is, in words.
        trial: Number of the trial.
        value: Its value.
        params: Its hyperparameters as searched, in the space's order.
        resolved: What searched quantities such as ν√n came to, and the values that stand for 0.
    """

    study: str
    optimizer: str
    registry_name: str
    title: str
    metric: str
    trial: int
    value: float
    params: tuple[BestParam, ...]
    resolved: tuple[BestParam, ...] = ()

    @property
    def values(self) -> dict[str, Scalar]:
        """Hyperparameter name to value, as searched."""
        return {param.name: param.value for param in self.params}

    @property
    def given(self) -> dict[str, Scalar]:
        """What the optimizer is called with: ν for ν√n, and nothing of the schedule."""
        own = OPTIMIZERS.get(self.registry_name).hyperparameters
        other = {*DERIVED, *SEARCHABLE_SCHEDULE} - set(own)
        values = {name: value for name, value in self.values.items() if name not in other}
        return values | {param.name: param.value for param in self.resolved}

    @property
    def schedule(self) -> dict[str, Scalar]:
        """What was searched of the learning rate's schedule."""
        given = self.given
        return {k: self.values[k] for k in SEARCHABLE_SCHEDULE if k in self.values.keys() - given}

    @property
    def lines(self) -> tuple[BestParam, ...]:
        """All to be shown: what was searched, and what it came to."""
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
        record = best_trial(trials.get(spec.key(key), ()), spec.task_def.direction)
        if record is not None and record.value is not None:
            found.append(_describe(spec, key, record, record.value))
    return tuple(found)


def _describe(spec: StudySpec, key: str, record: TrialRecord, value: float) -> BestHyperparameters:
    optimizer = spec.optimizers[key]
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
        trial=record.number,
        value=value,
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
            yield BestParam(name, value, f"none, as all below {dimension.zero.below:g}")


def _edge(dimensions: Mapping[str, Dimension], name: str, value: Scalar) -> str:
    return edge_of(dimensions[name], value) if name in dimensions else ""


def edge_of(dimension: Dimension, value: Scalar) -> str:
    """Say whether a value lies at an edge of what was searched.

    A range's edge is its outer 2 %, in the logarithm where it is drawn so. A list of at least
    three numbers has its smallest and largest as edges.

    Args:
        dimension: What was searched.
        value: A value of it.

    Returns:
        ``"low"``, ``"high"`` or an empty string.
    """
    if isinstance(value, (bool, str)) or isinstance(dimension, Fixed):
        return ""
    if isinstance(dimension, Choice):
        numbers = [v for v in dimension.values if not isinstance(v, (bool, str))]
        if len(numbers) < 3:
            return ""
        return "low" if value == min(numbers) else "high" if value == max(numbers) else ""
    low, high, at = float(dimension.low), float(dimension.high), float(value)
    if isinstance(dimension, Float) and dimension.zero is not None and at < dimension.zero.below:
        return ""  # 0, and there is nothing below
    if dimension.log:
        if at <= 0:
            return "low"
        low, high, at = math.log(low), math.log(high), math.log(at)
    place = (at - low) / (high - low)
    return "low" if place < _EDGE else "high" if place > 1 - _EDGE else ""


def render_best(
    spec: StudySpec, trials: Mapping[StudyKey, Sequence[TrialRecord]], format: str = "table"
) -> str:
    """Print the best hyperparameters.

    Args:
        spec: The study; restrict its optimizers to print fewer.
        trials: Records by study key.
        format: One of :data:`BEST_FORMATS`.

    Returns:
        Text without a newline at its end; where no search has a complete trial, a comment (or
        for JSON an empty object) that says so.

    Raises:
        UnknownNameError: There is no such format.
    """
    if format not in _RENDERERS:
        raise UnknownNameError("format", format, BEST_FORMATS)
    return _RENDERERS[format](best_hyperparameters(spec, trials)).rstrip("\n")


def best_table(bests: Sequence[BestHyperparameters]) -> Table:
    """Lay the best hyperparameters out for a terminal.

    Args:
        bests: From :func:`best_hyperparameters`.

    Returns:
        A table, one line a hyperparameter.
    """
    from rich import box
    from rich.table import Table

    caption = f"{bests[0].study}: best trial of the search" if bests else _NONE
    table = Table(title=caption, box=box.SIMPLE_HEAD)
    for header in ("Optimizer", "Hyperparameter", "Best", "Searched", "Note"):
        table.add_column(header, overflow="fold")
    for best in bests:
        head = f"{best.title}\n{best.metric} = {format_number(best.value)}\ntrial {best.trial}"
        for i, param in enumerate(best.lines):
            note = f"at the {param.edge} edge" if param.edge else ""
            first = head.splitlines()[i] if i < 3 else ""
            table.add_row(first, param.name, format_scalar(param.value), param.allowed, note)
        for line in head.splitlines()[len(best.lines) :]:
            table.add_row(line)
        table.add_section()
    return table


_NONE = "no complete trial yet"


def _render_table(bests: Sequence[BestHyperparameters]) -> str:
    from rich.console import Console

    if not bests:
        return _NONE
    text = io.StringIO()
    Console(file=text, width=100, color_system=None).print(best_table(bests))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _tables(bests: Sequence[BestHyperparameters]) -> dict[str, NamedTable]:
    return {best.optimizer: _table(best) for best in bests}


def _table(best: BestHyperparameters) -> NamedTable:
    table: dict[str, Any] = {
        "optimizer": best.registry_name,
        "metric": best.metric,
        "value": best.value,
        "trial": best.trial,
        "params": best.given,
    }
    if best.given != best.values:
        table["searched"] = best.values
    return table


def _render_python(bests: Sequence[BestHyperparameters]) -> str:
    if not bests:
        return f"# {_NONE}"
    blocks = []
    for best in bests:
        value = format_number(best.value)
        head = f"# {best.study}, {best.title}: trial {best.trial}, {best.metric} = {value}"
        if best.schedule:
            pairs = ", ".join(f"{k} = {format_scalar(v)}" for k, v in best.schedule.items())
            head += f"\n# learning rate: {pairs}"
        blocks.append(f"{head}\n{render_constructor(best.registry_name, best.given)}")
    return "\n\n\n".join(blocks)


_RENDERERS: dict[str, Callable[[Sequence[BestHyperparameters]], str]] = {
    "table": _render_table,
    "json": lambda bests: render_json_table(_tables(bests)),
    "toml": lambda bests: render_toml_table(_tables(bests)) or f"# {_NONE}",
    "yaml": lambda bests: render_yaml_table(_tables(bests)) or f"# {_NONE}",
    "python": _render_python,
}
BEST_FORMATS = tuple(_RENDERERS)
"""What ``format`` may be."""
