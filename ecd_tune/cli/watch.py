"""Start local workers on a study and watch them until it is complete or stopped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from ecd_tune.errors import NoResultError
from ecd_tune.records import Stage
from ecd_tune.references import is_reference
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.launch import Launcher, WorkerView
    from ecd_tune.signals import StopFlag
    from ecd_tune.store import Event, Progress, Store

__all__ = ["check_results", "explain_failures", "run_workers"]

_POLL_SECONDS = 0.5


def run_workers(
    spec: StudySpec, launcher: Launcher, storage: str, stop: StopFlag
) -> list[WorkerView]:
    """Create or resume a study and run workers on it until all have ended.

    Args:
        spec: The study.
        launcher: Starts the workers; they end with this process.
        storage: Database URL.
        stop: Ends the workers.

    Returns:
        How the workers ended.
    """
    from ecd_tune.store import Store

    with Store.open(storage) as store:
        store.create(spec)
        try:
            launcher.submit()
            _watch(store, spec, launcher, stop)
        finally:
            launcher.cancel()
        return launcher.status()


def _watch(store: Store, spec: StudySpec, launcher: Launcher, stop: StopFlag) -> None:
    from ecd_tune.cli.display import make_display

    told = _Errors(store, spec)
    with make_display(spec, sys.stdout.isatty()) as display:
        while _alive(views := launcher.status()):
            display.update(progress := store.progress(spec.name), views)
            told.tell(progress)
            if stop.wait(_POLL_SECONDS):
                break
        display.update(progress := store.progress(spec.name), [])
        told.tell(progress)


class _Errors:
    """Prints the traceback of each kind of error in a study's trials, as they come.

    Args:
        store: The database.
        spec: The study.
    """

    def __init__(self, store: Store, spec: StudySpec) -> None:
        self._store, self._name = store, spec.name
        self._failed, self._told = 0, {event.detail["trace"] for event in self._events()}

    def tell(self, progress: Sequence[Progress]) -> None:
        """Print what is new.

        Args:
            progress: One entry per study key; without a new failure nothing is read.
        """
        failed = sum(p.failed for p in progress)
        if failed == self._failed:
            return
        self._failed = failed
        for event in self._events():
            if event.detail["trace"] not in self._told:
                self._told.add(event.detail["trace"])
                name = f"{event.key.name} #{event.detail['number']}"
                typer.echo(f"{name} failed:\n{event.detail['trace']}", err=True)

    def _events(self) -> list[Event]:
        return [event for event in self._store.events(self._name) if event.kind == "exception"]


def check_results(store: Store, spec: StudySpec) -> None:
    """Check that every search has a result.

    For a user task this is a complete trial. The ranges of a study file can be so wide that all
    of a few trials diverge; then a value before the divergence is enough.

    Args:
        store: The database.
        spec: The study, complete.

    Raises:
        NoResultError: A search has no result, or no confirmation run of a user task has one.
    """
    own = is_reference(spec.task.name)
    progress = store.progress(spec.name)
    ended = {p.key: p.complete + (0 if own else p.pruned) for p in progress}
    lacking = [key for key in spec.by_search().optimizers if not ended.get(spec.key(key))]
    if lacking:
        raise NoResultError(
            f"study {spec.name!r}: no trial of {', '.join(lacking)} ended with a value; "
            f"`ecd-tune status {spec.name}` and the report give the reasons"
        )
    unconfirmed = [
        p.key.optimizer
        for p in progress
        if own and p.key.stage is Stage.CONFIRM and p.finished and not p.complete
    ]
    if unconfirmed:
        raise NoResultError(
            f"study {spec.name!r}: no confirmation run of {', '.join(unconfirmed)} is complete; "
            f"`ecd-tune status {spec.name}` gives the reasons, and "
            f"`ecd-tune retry {spec.name} --failed` repeats them after the bug is fixed"
        )


def _alive(views: Sequence[WorkerView]) -> bool:
    return any(view.state.alive for view in views)


def explain_failures(views: Sequence[WorkerView]) -> bool:
    """Print how workers failed, with the end of their logs.

    Args:
        views: How the workers ended.

    Returns:
        Whether any failed.
    """
    from ecd_tune.launch import WorkerState

    failed = [view for view in views if view.state is WorkerState.FAILED]
    for view in failed:
        typer.echo(
            f"worker {view.index} {view.reason} after {view.restarts} restarts; "
            f"{view.log} ends with:\n{view.tail}",
            err=True,
        )
    return bool(failed)
