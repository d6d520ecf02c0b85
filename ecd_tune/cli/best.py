"""``ecd-tune best``: the best hyperparameters, ready to use."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    AsJson,
    Called,
    Optimizers,
    Smoke,
    Storage,
    StudyName,
    resolve_study,
)
from ecd_tune.errors import NoResultError

__all__ = ["best"]


class BestFormat(StrEnum):
    """How the best hyperparameters are written."""

    TABLE = "table"
    JSON = "json"
    TOML = "toml"
    YAML = "yaml"
    PYTHON = "python"
    HYDRA = "hydra"
    LIGHTNING = "lightning"
    TRANSFORMERS = "transformers"


def best(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    optimizers: Optimizers = None,
    smoke: Smoke = False,
    name: Called = None,
    format: Annotated[BestFormat, typer.Option(help="Output format.")] = BestFormat.TABLE,
    as_json: AsJson = False,
) -> None:
    """Print the best hyperparameters that the search has found so far.

    Exit status 1 if no trial has ended with a value yet.
    """
    from ecd_tune.cli.collect import fetch_trials
    from ecd_tune.report import best_hyperparameters, render_best
    from ecd_tune.store import Store

    spec = resolve_study(study, optimizers=optimizers, smoke=smoke, storage=storage, called=name)
    with Store.open(storage, create=False) as store:
        trials = fetch_trials(store, spec, curves=False)
    found = {best.optimizer for best in best_hyperparameters(spec, trials)}
    lacking = [key for key in spec.optimizers if key not in found]
    if not found:
        raise NoResultError(
            f"study {spec.name!r}: no trial of {', '.join(lacking)} has ended with a value; "
            f"`ecd-tune status {spec.name}` shows its progress"
        )
    if lacking:
        typer.echo(f"no trial of {', '.join(lacking)} has ended with a value", err=True)
    typer.echo(render_best(spec, trials, "json" if as_json else format.value))
