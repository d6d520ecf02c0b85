"""``ecd-tune data``: which data sets the tasks know, which are here, and how to get them."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from ecd_tune.cli.examples import example_of
from ecd_tune.cli.options import AsJson
from ecd_tune.errors import TaskError, UnknownNameError
from ecd_tune.tasks.data import ROOT_VARIABLE, data_root, describe_root
from ecd_tune.tasks.data_sets import DataSet
from ecd_tune.tasks.needed_data import DATA_SETS

__all__ = ["data"]

data = typer.Typer(
    help="List the tasks' data sets: which are present, which are missing, and their sources.",
    epilog=example_of("data"),
    context_settings={"help_option_names": ["-h", "--help"]},
)

Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help=f"Data root. [default: {ROOT_VARIABLE}; if not set or empty, ../shared/data of a "
        "checkout]",
        show_default=False,
    ),
]


@data.callback(invoke_without_command=True)
def show_data(context: typer.Context, as_json: AsJson = False, root: Root = None) -> None:
    """List the tasks' data sets: which are present, which are missing, and their sources."""
    if context.invoked_subcommand is not None:
        return
    place = root or data_root()
    entries = [_entry(data_set, place) for data_set in DATA_SETS.values()]
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    typer.echo(f"data root: {root or describe_root()}{'' if place else f'; set {ROOT_VARIABLE}'}")
    _print_list(entries)


@data.command(epilog=example_of("data get"))
def get(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="As listed by `ecd-tune data`.",
            autocompletion=lambda incomplete: [n for n in DATA_SETS if n.startswith(incomplete)],
        ),
    ],
    root: Root = None,
) -> None:
    """Download a data set that its authors offer directly, and check it."""
    from ecd_tune.cli._download import fetch

    data_set = _look_up(name)
    place = _root_to_write(root)
    if layout := data_set.found(place):
        typer.echo(f"{name} is already present: {', '.join(layout.files)} in {place}")
        return
    if not data_set.downloads:
        files = "; or ".join(", ".join(layout.files) for layout in data_set.layouts)
        raise TaskError(
            f"{name} cannot be downloaded by this command; download it from "
            f"{data_set.layouts[0].source}. "
            f"Put it into {place} as {files}"
        )
    typer.echo(f"terms: {data_set.licence}", err=True)
    for download in data_set.downloads:
        with _progress_bar(download.file) as progress:
            file, sha256 = fetch(download, place, progress)
        checked = "checked" if download.digest else "its authors publish no checksum"
        typer.echo(f"{file}: {checked}; SHA-256 {sha256}")


def _look_up(name: str) -> DataSet:
    if name not in DATA_SETS:
        raise UnknownNameError("data set", name, DATA_SETS)
    return DATA_SETS[name]


def _root_to_write(root: Path | None) -> Path:
    place = root or data_root()
    if place is None:
        raise TaskError(f"no data root: set {ROOT_VARIABLE} to a folder, or use --root DIR")
    return place


def _entry(data_set: DataSet, root: Path | None) -> dict[str, Any]:
    layout = data_set.found(root)
    return {
        "name": data_set.name,
        "tasks": list(data_set.tasks),
        "present": layout is not None,
        "files": list((layout or data_set.layouts[0]).files),
        "source": (layout or data_set.layouts[0]).source,
        "download": bool(data_set.downloads),
        "licence": data_set.licence,
    }


def _print_list(entries: list[dict[str, Any]]) -> None:
    from rich.console import Console

    width = Console().width
    names = max(len(entry["name"]) for entry in entries)
    for entry in entries:
        head = f"{entry['name']:<{names}}  {'here' if entry['present'] else 'missing':<7}  "
        for first, rest, text in (
            (head, " " * len(head), ", ".join(entry["tasks"])),
            ("  ", "    ", _where(entry)),
        ):
            # Paths and addresses stay whole, to be copied, even where they are wider.
            lines = textwrap.wrap(
                text,
                width,
                initial_indent=first,
                subsequent_indent=rest,
                break_long_words=False,
                break_on_hyphens=False,
            )
            typer.echo("\n".join(lines))


def _where(entry: dict[str, Any]) -> str:
    files = entry["files"]
    short = ", ".join(files) if len(files) < 3 else f"{files[0]} and {len(files) - 1} more"
    if entry["present"]:
        return short
    if entry["download"]:
        return f"ecd-tune data get {entry['name']}"
    return f"{short}, from {entry['source']}"


class _progress_bar:
    # Rich draws on a terminal only; elsewhere nothing is printed.
    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

        self._bar = Progress(
            *Progress.get_default_columns(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> Any:
        self._bar.start()
        return lambda count, total: self._bar.update(self._task, completed=count, total=total)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
