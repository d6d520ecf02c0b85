"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from ecd_tune.errors import SpecError, StoreError, UnknownNameError, hint
from ecd_tune.references import is_reference, short_reference
from ecd_tune.spec import (
    OWN_OPTIMIZERS,
    StudySpec,
    adopt_sampler,
    find_study,
    load_study,
    own_study,
    parse_study,
    shipped_studies,
)

__all__ = [
    "AsJson",
    "Called",
    "DEFAULT_STORAGE",
    "Out",
    "Optimizers",
    "Seed",
    "Smoke",
    "Storage",
    "StudyName",
    "TrialsOption",
    "as_stored",
    "complete_study",
    "parse_names",
    "resolve_study",
    "study_arguments",
]

DEFAULT_STORAGE = "sqlite:///ecd_tune.db"


def complete_study(incomplete: str) -> list[str]:
    """Return the shipped studies, study files and Python files that complete a name in a shell.

    Args:
        incomplete: The typed beginning of the name.
    """
    names = [name for name in shipped_studies() if name.startswith(incomplete)]
    # A shell completes paths by itself only where there is no name.
    files = [path.name for path in sorted(Path().iterdir()) if path.suffix in (".toml", ".py")]
    return names and [*names, *(name for name in files if name.startswith(incomplete))]


StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Name of a shipped study (see `ecd-tune studies`), path of a .toml file, or your own "
        "task: FILE.py:NAME or package.module:NAME.",
        show_default=False,
        autocompletion=complete_study,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
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
        help="Finished trials per optimizer, over all workers. [default: as in the file]",
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
        help="Seed of the study. [default: as in the file]",
        show_default=False,
    ),
]
Called = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Name of the study of your own task. [default: the task's]",
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
        "--smoke", help="Use the study's short form, on substitute data if its data are missing."
    ),
]


def resolve_study(
    name: str,
    trials: int | None = None,
    seed: int | None = None,
    optimizers: str | None = None,
    smoke: bool = False,
    *,
    storage: str = "",
    called: str | None = None,
) -> StudySpec:
    """Load a study and apply the options of the command line.

    Args:
        name: Name of a shipped study, path of a file, or reference of a task.
        trials: Replaces the file's budget.
        seed: Replaces the file's seed.
        optimizers: Comma-separated keys to keep.
        smoke: Take the study's smoke form.
        storage: Where the study of a task may be stored already.
        called: Name of the study of a task, if it differs from the task's.

    Returns:
        The study.

    Raises:
        SpecError: ``optimizers`` names one that the study does not have, or ``called`` is given
            for a study that has a name.
    """
    keys = _split(optimizers) if optimizers is not None else None
    if is_reference(name):
        spec = _study_of_task(name, keys, smoke, storage, called)
    elif called is not None:
        raise SpecError(f"--name {called}: only for a study of your own task; {name} has a name")
    else:
        spec = load_study(_find(name, storage), smoke)
    if keys is not None:
        for key in keys or ("",):
            if key not in spec.optimizers:
                known = hint(key, spec.optimizers)
                raise SpecError(f"--optimizers: study {spec.name!r} has no {key!r}{known}")
    spec = spec.with_overrides(trials=trials, seed=seed)
    if spec.sampler.why and storage:
        spec = as_stored(spec, storage)
    return spec.with_overrides(optimizers=keys)


def _find(name: str, storage: str) -> Path:
    try:
        return find_study(name)
    except UnknownNameError:
        own = _own_tables(storage).get(name)
        if own is None:
            raise
        raise SpecError(
            f"study {name!r} in this storage is of your own task; name it by FILE.py:NAME or "
            f"package.module:NAME, here {own['task']['name']}"
        ) from None


def as_stored(spec: StudySpec, storage: str) -> StudySpec:
    """Return a study with ``"auto"`` with the sampler that it was created with.

    Args:
        spec: The study.
        storage: Storage URL, possibly without this study.
    """
    from ecd_tune.store import Store

    try:
        with Store.open(storage, create=False) as store:
            return adopt_sampler(spec, store.sampler(spec.name))
    except StoreError:
        return spec  # there is no database yet; other errors are raised when it is used


def parse_names(text: str, allowed: Collection[str], kind: str) -> tuple[str, ...]:
    """Read a comma-separated list of names.

    Args:
        text: Value of an option.
        allowed: The known names.
        kind: Kind of the names, for example ``"format"``.

    Returns:
        The names, at least one.

    Raises:
        SpecError: A name is unknown, or the list is empty.
    """
    names = _split(text)
    for name in names or ("",):
        if name not in allowed:
            raise SpecError(f"unknown {kind} {name!r}{hint(name, allowed)}")
    return names


def _split(keys: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in keys.split(",") if key.strip())


def study_arguments(
    name: str,
    trials: int | None,
    seed: int | None,
    optimizers: str | None,
    smoke: bool,
    called: str | None = None,
) -> list[str]:
    """Write the same study and changes as arguments of another ``ecd-tune`` command."""
    arguments = [name, *["--smoke"] * smoke]
    changes = {"--trials": trials, "--seed": seed, "--optimizers": optimizers, "--name": called}
    for option, value in changes.items():
        if value is not None:
            arguments += [option, str(value)]
    return arguments


def _study_of_task(
    reference: str, keys: tuple[str, ...] | None, smoke: bool, storage: str, called: str | None
) -> StudySpec:
    """Return the stored study of a task, or its default study."""
    if smoke:
        raise SpecError(f"--smoke: {reference} is your own task and has no smoke form")
    stored = _stored_tables(reference, storage)
    wanted = {name: table for name, table in stored.items() if called in (None, name)}
    if len(wanted) > 1:
        raise SpecError(
            f"{reference}: {storage} contains several studies of it; choose one with --name: "
            f"{', '.join(wanted)}"
        )
    for table in wanted.values():
        known = set(table["optimizers"])
        if keys is None or known >= set(keys):
            own = {**table, "task": {**table["task"], "name": reference}}
            return parse_study(own, f"{reference}, as stored")
    given = {} if called is None else {"name": called}
    return parse_study(own_study(reference, keys or OWN_OPTIMIZERS, **given), reference)


def _stored_tables(reference: str, storage: str) -> dict[str, dict[str, Any]]:
    short = short_reference(reference)
    tables = _own_tables(storage)
    return {name: table for name, table in tables.items() if table["task"]["name"] == short}


def _own_tables(storage: str) -> dict[str, dict[str, Any]]:
    from ecd_tune.store import Store

    try:
        with Store.open(storage, create=False) as store:
            return store.tables()
    except StoreError:
        return {}  # no database yet; other errors are reported when it is used
