"""``ecd-tune run``: from a study file to a report."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ecd_tune.cli.current import digest_of, show_current
from ecd_tune.cli.dry_run import check_task
from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    Called,
    Optimizers,
    Out,
    Seed,
    Smoke,
    Storage,
    StudyName,
    TrialsOption,
    resolve_study,
    study_arguments,
)
from ecd_tune.cli.prechecks import check_data, check_folder
from ecd_tune.cli.report import write_study_report
from ecd_tune.cli.stopping import say_stopping
from ecd_tune.errors import StorageUnavailableError, StudyNotFoundError
from ecd_tune.references import is_reference
from ecd_tune.spec import StudySpec

__all__ = ["run"]

_WORKER_FAILED = 1


def run(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on this machine.")] = 1,
    trials: TrialsOption = None,
    optimizers: Optimizers = None,
    seed: Seed = None,
    smoke: Smoke = False,
    name: Called = None,
    out: Out = None,
    check: Annotated[
        bool, typer.Option(help="Try a few steps of your own task before the search.")
    ] = True,
) -> None:
    """Run a study from its file to its report; run the same command to resume.

    Creates the study or resumes it, searches and confirms with worker processes, and writes the
    report. Ctrl-C leaves everything in the database.
    """
    from ecd_tune.cli.watch import check_results, explain_failures, run_workers
    from ecd_tune.launch import Launch, make_launcher
    from ecd_tune.signals import StopFlag
    from ecd_tune.store import Store

    spec = resolve_study(study, trials, seed, optimizers, smoke, storage=storage, called=name)
    folder = out or Path("reports") / spec.name
    check_folder(folder, "--out")
    started = time.monotonic()
    digest = _digest_of_complete(storage, spec)
    if digest is not None:
        typer.echo(f"study {spec.name!r} is complete\n")
        if show_current(folder, digest):
            return
        failed = False
    else:
        check_data(spec, study)
        if check and is_reference(study):
            check_task(spec, workers)
        arguments = study_arguments(study, trials, seed, optimizers, smoke, name)
        with StopFlag(say=say_stopping) as stop:
            launch = Launch(spec.name, tuple(arguments), storage, folder / "logs", workers=workers)
            views = run_workers(spec, make_launcher("local", launch), storage, stop)
        if stop():
            typer.echo("Interrupted; run the same command to resume.")
            raise typer.Exit(stop.exit_status)
        failed = explain_failures(views)
    if failed and not _any_finished(storage, spec):
        raise typer.Exit(_WORKER_FAILED)
    paths = write_study_report(spec, storage, folder, say=True, note=True)
    typer.echo(f"\nReport after {time.monotonic() - started:.0f} s:")
    for path in paths:
        typer.echo(f"  {path}")
    if failed:
        raise typer.Exit(_WORKER_FAILED)
    with Store.open(storage, create=False) as store:
        check_results(store, spec)


def _digest_of_complete(storage: str, spec: StudySpec) -> str | None:
    """Return the input of a complete study's report; None where workers have work."""
    from ecd_tune.store import Store
    from ecd_tune.worker.remaining_work import study_complete

    with (
        suppress(StudyNotFoundError, StorageUnavailableError),
        Store.open(storage, create=False) as store,
    ):
        return digest_of(store, spec) if study_complete(store, spec) else None
    return None


def _any_finished(storage: str, spec: StudySpec) -> bool:
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store:
        return any(progress.finished for progress in store.progress(spec.name))
