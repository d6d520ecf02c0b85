"""``ecd-tune new-study``: a study file to begin with."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from ecd_tune.cli._new_file import write_new
from ecd_tune.errors import SpecError
from ecd_tune.references import is_reference
from ecd_tune.registry import TASKS
from ecd_tune.spec import parse_study, studies_folder

__all__ = ["new_study"]

_STEPS = {"epochs": 10, "iterations": 250}


def new_study(
    file: Annotated[Path, typer.Argument(help="File to write, FILE.toml.", show_default=False)],
    task: Annotated[
        str, typer.Option(help="Name of a task, or your own task: FILE.py:NAME.")
    ] = "digits",
) -> None:
    """Write a runnable study file: ECDSep and AdamW, 20 trials each."""
    if file.suffix != ".toml" or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", file.stem, re.ASCII):
        raise SpecError(f"{file}: must be the name of a TOML file, such as my_study.toml")
    definition = TASKS.get(task)
    template = (studies_folder() / "_new.toml").read_text(encoding="utf-8")
    text = Template(template.partition("\n\n")[2]).substitute(
        file=file.name,
        name=_quote(file.stem),
        title=_quote(f"ECDSep and AdamW on {definition.title}"),
        task=_quote(_relative_to(file.parent, task)),
        steps=definition.steps or _STEPS[definition.budget_unit],
        unit=definition.budget_unit,
    )
    parse_study({**tomllib.loads(text), "task": {"name": task}}, str(file))
    write_new(file, text)
    typer.echo(f"{file}: run it with ecd-tune run {file}")


def _relative_to(folder: Path, task: str) -> str:
    home, colon, name = task.rpartition(":")
    if is_reference(task) and home.endswith(".py"):
        home = Path(os.path.relpath(home, folder)).as_posix()
    return f"{home}{colon}{name}"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a basic string of TOML is written so too
