"""``ecd-tune reap``: queue the trials of dead workers again."""

from __future__ import annotations

from typing import Annotated

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage

__all__ = ["reap"]


def reap(
    storage: Storage = DEFAULT_STORAGE,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks with --watch.")
    ] = 5.0,
) -> None:
    """Queue the trials of dead workers again, each exactly once.

    Workers do this themselves; the command is for a database where none runs.
    """
    from ecd_tune.signals import StopFlag
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store, StopFlag() as stop:
        while True:
            count = store.reap()
            if count or not watch:
                typer.echo(f"{count} trial{'s' * (count != 1)} queued again")
            if not watch or stop.wait(interval):
                return
