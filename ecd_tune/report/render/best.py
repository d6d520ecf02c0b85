"""The best hyperparameters of a study, as a table, JSON, TOML, YAML or Python.

Nothing here loads scipy, pandas or torch: ``ecd-tune best`` answers at once.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ecd_tune.errors import UnknownNameError
from ecd_tune.records import StudyKey, TrialRecord
from ecd_tune.report.model.best import BestHyperparameters, best_hyperparameters
from ecd_tune.report.render.constructor import render_constructor
from ecd_tune.report.render.literals import (
    NamedTable,
    render_json_table,
    render_toml_table,
    render_yaml_table,
)
from ecd_tune.report.words.numbers import format_number, format_scalar
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["BEST_FORMATS", "best_table", "render_best"]


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
