"""``ecd-tune reap``: re-queue the trials of dead workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage
from ecd_tune.cli.stopping import say_ending
from ecd_tune.text import count

if TYPE_CHECKING:
    from ecd_tune.signals import StopFlag
    from ecd_tune.store import Store

__all__ = ["reap"]

_LOOKS = 30
"""Number of checks per lease duration."""


def reap(
    storage: Storage = DEFAULT_STORAGE,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="Interval in seconds, with --watch.")
    ] = 5.0,
) -> None:
    """Re-queue the trials of dead workers, each exactly once.

    Trials of processes on this machine are re-queued at once, others when their lease was not
    renewed for 30 seconds. Workers do this themselves; use the command if no worker runs.
    """
    from ecd_tune.signals import StopFlag
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store, StopFlag(say=say_ending) as stop:
        if not watch:
            _say(_reap_once(store, stop))
        while watch and not stop():
            if requeued := store.reap():
                _say(requeued)
            stop.wait(interval)
    raise typer.Exit(stop.exit_status)


def _reap_once(store: Store, stop: StopFlag) -> int:
    """Watch until no trial is leased, or for slightly longer than a lease."""
    requeued, seconds = store.reap(), store.lease_seconds
    if held := _held(store):
        typer.echo(f"watching the leases of {count(held, 'trial')} for {seconds:.0f} s", err=True)
    for _ in range(_LOOKS + 2):
        if not _held(store) or stop.wait(seconds / _LOOKS):
            break
        requeued += store.reap()
    return requeued


def _held(store: Store) -> int:
    return sum(worker.running for worker in store.workers())


def _say(requeued: int) -> None:
    typer.echo(f"{count(requeued, 'trial')} re-queued")
