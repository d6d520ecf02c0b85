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
    """Print the best hyperparameters that the search has found so far."""
    from ecd_tune.cli.collect import fetch_trials
    from ecd_tune.report import render_best
    from ecd_tune.store import Store

    spec = resolve_study(study, optimizers=optimizers, smoke=smoke, storage=storage, called=name)
    with Store.open(storage, create=False) as store:
        trials = fetch_trials(store, spec, curves=False)
    typer.echo(render_best(spec, trials, "json" if as_json else format.value))
