"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecd_tune.errors import SpecError
from ecd_tune.spec import StudySpec, find_study, load_study

__all__ = [
    "DEFAULT_STORAGE",
    "Out",
    "Optimizers",
    "Seed",
    "Smoke",
    "Storage",
    "StudyName",
    "TrialsOption",
    "resolve_study",
    "study_arguments",
]

DEFAULT_STORAGE = "sqlite:///ecd_tune.db"

StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Name of a shipped study (see `ecd-tune studies`) or path of a .toml file.",
        show_default=False,
    ),
]
Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="ECD_TUNE_STORAGE",
        metavar="URL",
        help="Database, for example sqlite:///ecd_tune.db.",
        show_envvar=True,
    ),
]
TrialsOption = Annotated[
    int | None,
    typer.Option(
        "--trials",
        min=1,
        metavar="N",
        help="Finished trials per optimizer, all workers together. [default: as in the file]",
        show_default=False,
    ),
]
Optimizers = Annotated[
    str | None,
    typer.Option(
        "--optimizers",
        "--optimizer",
        metavar="A,B",
        help="Only these optimizers of the study. [default: all]",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        min=0,
        metavar="S",
        help="Seed of the whole study. [default: as in the file]",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for the report. [default: reports/STUDY]",
        show_default=False,
    ),
]


Smoke = Annotated[
    bool,
    typer.Option(
        "--smoke", help="The study's short form, on a stand-in where its data are not to be had."
    ),
]


def resolve_study(
    name: str,
    trials: int | None = None,
    seed: int | None = None,
    optimizers: str | None = None,
    smoke: bool = False,
) -> StudySpec:
    """Load a study and apply what the command line changes.

    Args:
        name: Name of a shipped study, or path of a file.
        trials: Replaces the file's budget.
        seed: Replaces the file's seed.
        optimizers: Comma-separated keys to keep.
        smoke: Take the study's smoke form.

    Returns:
        The study.

    Raises:
        SpecError: ``optimizers`` names one that the study does not have.
    """
    spec = load_study(find_study(name), smoke)
    keys = None
    if optimizers is not None:
        keys = tuple(key.strip() for key in optimizers.split(",") if key.strip())
        unknown = [key for key in keys if key not in spec.optimizers]
        if unknown or not keys:
            raise SpecError(
                f"--optimizers {optimizers}: study {spec.name!r} has no "
                f"{unknown[0] if unknown else 'empty list'!r}; it has {', '.join(spec.optimizers)}"
            )
    return spec.with_overrides(trials=trials, seed=seed, optimizers=keys)


def study_arguments(
    name: str,
    trials: int | None,
    seed: int | None,
    optimizers: str | None,
    smoke: bool,
) -> list[str]:
    """Write the same study and changes as arguments of another ``ecd-tune`` command."""
    arguments = [name, *["--smoke"] * smoke]
    for option, value in (("--trials", trials), ("--seed", seed), ("--optimizers", optimizers)):
        if value is not None:
            arguments += [option, str(value)]
    return arguments
