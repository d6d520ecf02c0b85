"""``ecd-tune status``: how far the studies in a database are."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage
from ecd_tune.cli.studies import AsJson

__all__ = ["status"]


def status(
    study: Annotated[
        str | None, typer.Argument(help="Name of a study in the database. [default: all]")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show trials by state and the best value so far, per optimizer and stage."""
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store:
        names = [study] if study else store.studies()
        rows = [_row(progress) for name in names for progress in store.progress(name)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"{storage}: no studies yet; start one with `ecd-tune run STUDY`")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in rows[0]:
        numeric = column not in ("study", "optimizer", "stage")
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_show(value) for value in row.values()))
    Console().print(table)


def _row(progress: Any) -> dict[str, Any]:
    return {
        "study": progress.key.study,
        "optimizer": progress.key.optimizer,
        "stage": progress.key.stage.value,
        "complete": progress.complete,
        "diverged": progress.pruned,
        "failed": progress.failed,
        "lost": progress.lost,
        "running": progress.running,
        "waiting": progress.waiting,
        "best": progress.best,
    }


def _show(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
