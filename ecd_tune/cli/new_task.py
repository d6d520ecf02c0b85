"""``ecd-tune new-task``: a file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecd_tune.cli._new_file import write_new
from ecd_tune.errors import SpecError
from ecd_tune.spec import examples_folder

__all__ = ["new_task"]


def new_task(
    file: Annotated[Path, typer.Argument(help="File to write, FILE.py.", show_default=False)],
    loop: Annotated[bool, typer.Option("--loop", help="With your own training loop.")] = False,
) -> None:
    """Write a runnable task on handwritten digits; replace its model and data by yours."""
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise SpecError(f"{file}: the name must be importable in Python, such as my_task.py")
    name = "loop" if loop else "cnn"
    text = (examples_folder() / f"{name}.py").read_text(encoding="utf-8")
    write_new(file, text)
    typer.echo(f"{file}: run it with python {file}, or with ecd-tune run {file}:{name}")
