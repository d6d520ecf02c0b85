"""The best hyperparameters of a study, as data, as code, and as configurations of other tools.

Nothing here loads scipy, pandas or torch: ``ecd-tune best`` answers at once.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ecd_tune.errors import UnknownNameError
from ecd_tune.records import StudyKey, TrialRecord
from ecd_tune.report.model.best import BestHyperparameters, best_hyperparameters
from ecd_tune.report.render.data.constructor import (
    describe_call,
    render_constructor,
    render_import,
    render_literal,
)
from ecd_tune.report.words.numbers import format_number, format_scalar
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["BEST_FORMATS", "best_table", "render_best", "write_toml", "write_yaml"]


def render_best(
    spec: StudySpec, trials: Mapping[StudyKey, Sequence[TrialRecord]], format: str = "table"
) -> str:
    """Print the best hyperparameters.

    Args:
        spec: The study; restrict its optimizers to print fewer.
        trials: Records by study key.
        format: One of :data:`BEST_FORMATS`.

    Returns:
        Text without a newline at its end; if no search has a complete trial, a comment that says so
        (for JSON an empty object).

    Raises:
        UnknownNameError: There is no such format.
    """
    if format not in _RENDERERS:
        raise UnknownNameError("format", format, BEST_FORMATS)
    return _RENDERERS[format](best_hyperparameters(spec, trials)).rstrip("\n")


def best_table(best: BestHyperparameters) -> Table:
    """Lay the best hyperparameters of one optimizer out for a terminal.

    Args:
        best: From :func:`best_hyperparameters`.

    Returns:
        A table, one line per hyperparameter; a narrow one breaks ranges, never a number.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("Hyperparameter", "Best"):
        table.add_column(header, no_wrap=True)
    table.add_column("Searched", overflow="fold")
    for param in best.lines:
        edge = f", at the {param.edge} edge" if param.edge else ""
        table.add_row(param.name, format_scalar(param.value), f"{param.allowed}{edge}")
    return table


_NONE = "no complete trial yet"
_WIDTH = 100


def _render_table(bests: Sequence[BestHyperparameters]) -> str:
    from rich.console import Console

    if not bests:
        return _NONE
    text, width = io.StringIO(), shutil.get_terminal_size((_WIDTH, 0)).columns
    console = Console(file=text, width=min(width, _WIDTH), color_system=None, highlight=False)
    for best in bests:
        trial = f"trial {best.trial}" + f" of search {best.search}" * (best.search > 1)
        value = f"{best.metric} = {format_number(best.value)}"
        console.print(f"{best.title}: {value}, {trial}", markup=False)
        console.print(best_table(best))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _tables(bests: Sequence[BestHyperparameters]) -> dict[str, dict[str, Any]]:
    return {best.optimizer: _table(best) for best in bests}


def _table(best: BestHyperparameters) -> dict[str, Any]:
    table: dict[str, Any] = {
        "optimizer": best.registry_name,
        "metric": best.metric,
        "value": float(best.value),
        "trial": best.trial,
        "params": _plain(best.given),
    }
    if best.given != best.values:
        table["searched"] = _plain(best.values)
    return table


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    # numpy's floats are Python's too, but no writer of YAML knows them.
    return {n: float(v) if isinstance(v, float) else v for n, v in params.items()}


def write_toml(tables: Mapping[str, Any]) -> str:
    """Write tables as TOML in ASCII, so that no terminal's encoding changes what is printed."""
    import tomli_w

    # Keys and strings are quoted where they are not ASCII, so that an escape is one there.
    return re.sub(r"[^\x00-\x7e]", lambda c: f"\\U{ord(c[0]):08x}", tomli_w.dumps(tables))


def write_yaml(tables: Mapping[str, Any]) -> str:
    """Write tables as YAML in ASCII, in their order."""
    import yaml

    return str(yaml.safe_dump(dict(tables), sort_keys=False, allow_unicode=False, width=1000))


def _head(best: BestHyperparameters) -> str:
    value = format_number(best.value)
    head = f"# {best.study}, {best.title}: trial {best.trial}, {best.metric} = {value}"
    if best.schedule:
        pairs = ", ".join(f"{k} = {format_scalar(v)}" for k, v in best.schedule.items())
        head += f"\n# learning rate: {pairs}"
    return head


def _blocks(
    bests: Sequence[BestHyperparameters], block: Callable[[BestHyperparameters], str], between: str
) -> str:
    if not bests:
        return f"# {_NONE}"
    return between.join(f"{_head(best)}\n{block(best).rstrip()}" for best in bests)


def _keywords(best: BestHyperparameters) -> tuple[str, dict[str, Any]]:
    path, keywords = describe_call(best.registry_name, best.given)
    listed = {n: list(v) if isinstance(v, tuple) else v for n, v in keywords.items()}
    return path, _plain(listed)


def _grouped(best: BestHyperparameters) -> str:
    """Describe values of single parameter groups, which no keyword of a constructor has."""
    own = {name: value for name, value in best.given.items() if "." in name}
    return "".join(f"# for a separate group: {n} = {format_scalar(v)}\n" for n, v in own.items())


def _hydra(best: BestHyperparameters) -> str:
    path, keywords = _keywords(best)
    config = {"_target_": path, "_partial_": True, **keywords}
    return _grouped(best) + write_yaml({best.optimizer: config})


def _lightning(best: BestHyperparameters) -> str:
    path, keywords = _keywords(best)
    return _grouped(best) + write_yaml({"optimizer": {"class_path": path, "init_args": keywords}})


def _transformers(best: BestHyperparameters) -> str:
    path, keywords = describe_call(best.registry_name, best.given)
    load, function = render_import(path)
    items = ", ".join(f'"{name}": {render_literal(value)}' for name, value in keywords.items())
    attach = path.startswith("ecd_tune.optim.") and ".baselines" not in path
    lines = [
        *(["from ecd_tune.integrations import attach_trainer"] if attach else []),
        load,
        "from transformers import Trainer",
        "",
        "trainer = Trainer(",
        "    model=model,",
        "    args=args,",
        "    train_dataset=train_dataset,",
        f"    optimizer_cls_and_kwargs=({function}, {{{items}}}),",
        ")",
        *(["attach_trainer(trainer)"] if attach else []),
    ]
    return _grouped(best) + "\n".join(lines)


def _python(best: BestHyperparameters) -> str:
    return render_constructor(best.registry_name, best.given)


_RENDERERS: dict[str, Callable[[Sequence[BestHyperparameters]], str]] = {
    "table": _render_table,
    "json": lambda bests: json.dumps(_tables(bests), indent=2, allow_nan=False),
    "toml": lambda bests: write_toml(_tables(bests)) or f"# {_NONE}",
    "yaml": lambda bests: write_yaml(_tables(bests)) if bests else f"# {_NONE}",
    "python": lambda bests: _blocks(bests, _python, "\n\n\n"),
    "hydra": lambda bests: _blocks(bests, _hydra, "\n"),
    "lightning": lambda bests: _blocks(bests, _lightning, "\n---\n"),
    "transformers": lambda bests: _blocks(bests, _transformers, "\n\n\n"),
}
BEST_FORMATS = tuple(_RENDERERS)
"""Allowed values of ``format``."""
