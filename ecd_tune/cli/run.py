"""``ecd-tune run``: the whole way from a study file to a report."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    Optimizers,
    Out,
    Seed,
    Storage,
    StudyName,
    Trials,
    resolve_study,
    study_arguments,
)
from ecd_tune.cli.report import write_study_report
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.launch import LocalWorkers, WorkerFailure
    from ecd_tune.signals import StopFlag
    from ecd_tune.store import Store

__all__ = ["run"]

_POLL_SECONDS = 0.5
_WORKER_FAILED = 1


def run(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on this machine.")] = 1,
    trials: Trials = None,
    optimizers: Optimizers = None,
    seed: Seed = None,
    out: Out = None,
) -> None:
    """Run a study from its file to its report; run it again to go on where it stopped.

    Creates the study or resumes it, searches and confirms with worker processes, and writes the
    report. Ctrl-C leaves everything in the database.
    """
    from ecd_tune.launch import LocalWorkers
    from ecd_tune.signals import StopFlag
    from ecd_tune.store import Store

    spec = resolve_study(study, trials, seed, optimizers)
    folder = out or Path("reports") / spec.name
    arguments = study_arguments(study, trials, seed, optimizers)
    started = time.monotonic()
    with Store.open(storage) as store, StopFlag() as stop:
        store.create(spec)
        with LocalWorkers(arguments, workers, storage, folder / "logs") as pool:
            _watch(store, spec, pool, stop)
        failures = pool.failures()
    if stop():
        typer.echo(f"Interrupted; `ecd-tune run {study} --storage …` goes on where it stopped.")
        raise typer.Exit(stop.exit_status)
    paths = write_study_report(spec, storage, folder, say=True)
    typer.echo(f"\nReport after {time.monotonic() - started:.0f} s:")
    for path in paths:
        typer.echo(f"  {path}")
    if failures:
        _explain(failures)
        raise typer.Exit(_WORKER_FAILED)


def _watch(store: Store, spec: StudySpec, pool: LocalWorkers, stop: StopFlag) -> None:
    from ecd_tune.cli.display import make_display

    with make_display(spec, sys.stdout.isatty()) as display:
        while (running := pool.running()) and not stop.wait(_POLL_SECONDS):
            display.update(store.progress(spec.name), running)
        display.update(store.progress(spec.name), 0)


def _explain(failures: list[WorkerFailure]) -> None:
    for failure in failures:
        typer.echo(
            f"worker {failure.index} ended with status {failure.status}; "
            f"{failure.log} ends with:\n{failure.tail}",
            err=True,
        )
