"""``ecd-tune launch``: many workers, on this machine or through an engine that places them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    Called,
    Optimizers,
    Seed,
    Smoke,
    Storage,
    StudyName,
    TrialsOption,
    resolve_study,
    study_arguments,
)
from ecd_tune.cli.prechecks import check_data, check_folder
from ecd_tune.cli.stopping import say_stopping
from ecd_tune.errors import LaunchError
from ecd_tune.spec import LaunchSpec, StudySpec, parse_minutes

if TYPE_CHECKING:
    from ecd_tune.launch import Launch, Launcher, WorkerView

__all__ = ["launch"]

_WORKER_FAILED = 1


def launch(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE",
            help="local, slurm, ray, or a name registered by a package. "
            "[default: as in the file, else local]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers. [default: as in the file, else 1]", show_default=False),
    ] = None,
    gpus_per_worker: Annotated[
        int | None, typer.Option(min=1, help="Whole GPUs per worker. [default: none]")
    ] = None,
    workers_per_gpu: Annotated[
        int | None, typer.Option(min=1, help="Workers that share one GPU. [default: none]")
    ] = None,
    cores_per_worker: Annotated[
        int | None,
        typer.Option(min=1, help="Cores and threads per worker. [default: one, not pinned]"),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="LIMIT",
            help="Time limit of one batch job: minutes or D-HH:MM:SS; jobs are re-queued until "
            "the study is complete. [default: 60]",
            show_default=False,
        ),
    ] = None,
    partition: Annotated[
        str | None, typer.Option(help="Slurm partition.", show_default=False)
    ] = None,
    max_restarts: Annotated[
        int, typer.Option(min=0, help="How often a worker that died is restarted.")
    ] = 5,
    trials: TrialsOption = None,
    optimizers: Optimizers = None,
    seed: Seed = None,
    smoke: Smoke = False,
    name: Called = None,
    logs: Annotated[
        Path | None, typer.Option(help="Folder of the workers' logs. [default: logs/STUDY]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started, for Slurm the script.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Show the submitted workers; start none.")
    ] = False,
    tail: Annotated[
        bool,
        typer.Option("--tail", help="Show the end of each submitted worker's log; start none."),
    ] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the submitted workers.")] = False,
) -> None:
    """Start workers on this machine, as Slurm jobs or as Ray actors.

    On this machine and on Ray the command shows all workers in one table until the study is
    complete; Ctrl-C ends them cleanly. On Slurm it submits and returns; `--status`, `--tail` and
    `--cancel` find the jobs again by the folder of their logs. One study may have workers on
    several engines at once. The report is another command: `ecd-tune report`.
    """
    from ecd_tune.launch import make_launcher

    spec = resolve_study(study, trials, seed, optimizers, smoke, storage=storage, called=name)
    settings = _settings(
        spec.launch,
        on=on,
        workers=workers,
        gpus_per_worker=gpus_per_worker,
        workers_per_gpu=workers_per_gpu,
        cores_per_worker=cores_per_worker,
        time=time,
        partition=partition,
    )
    arguments = study_arguments(study, trials, seed, optimizers, smoke, name)
    wanted = _launch(spec, settings, arguments, storage, logs, max_restarts)
    launcher = make_launcher(settings.on, wanted)
    if dry_run:
        typer.echo(launcher.describe())
    elif status or tail or cancel:
        _manage(launcher, settings.on, tail, cancel)
    else:
        launcher.describe()  # what the engine does not take is refused before anything is created
        check_folder(wanted.logs, "--logs")
        _warn_of_file(settings.on, storage)
        if launcher.attached:
            check_data(spec, study)
            _watch(spec, launcher, storage)
        else:
            _submit(spec, launcher, storage)


def _settings(given: LaunchSpec, **changes: Any) -> LaunchSpec:
    """Override ``[launch]`` with the command line."""
    said = {key: value for key, value in changes.items() if value is not None}
    if said.get("on", given.on) != given.on:
        # Settings for the file's engine do not apply to another one.
        given = given.model_copy(update={"time": None, "partition": None, "options": {}})
    if "time" in said:
        try:
            parse_minutes(said["time"])
        except ValueError as error:
            raise LaunchError(f"--time {error}") from None
    # Of the two rules for GPUs a new one replaces the file's.
    if "gpus_per_worker" in said:
        said.setdefault("workers_per_gpu", None)
    elif "workers_per_gpu" in said:
        said["gpus_per_worker"] = None
    return given.model_copy(update=said)


def _launch(
    spec: StudySpec,
    settings: LaunchSpec,
    arguments: list[str],
    storage: str,
    logs: Path | None,
    max_restarts: int,
) -> Launch:
    from ecd_tune.launch import Launch

    return Launch(
        study=spec.name,
        arguments=tuple(arguments),
        storage=storage,
        logs=logs or Path("logs") / spec.name,
        workers=settings.workers,
        gpus_per_worker=settings.gpus_per_worker,
        workers_per_gpu=settings.workers_per_gpu,
        cores_per_worker=settings.cores_per_worker,
        max_restarts=max_restarts,
        minutes=parse_minutes(settings.time) if settings.time else None,
        partition=settings.partition,
        options=settings.options,
    )


def _watch(spec: StudySpec, launcher: Launcher, storage: str) -> None:
    from ecd_tune.cli.watch import explain_failures, run_workers
    from ecd_tune.signals import StopFlag

    with StopFlag(say=say_stopping) as stop:
        views = run_workers(spec, launcher, storage, stop)
    if stop():
        typer.echo("Interrupted; run the same command to resume.")
        raise typer.Exit(stop.exit_status)
    if explain_failures(views):
        raise typer.Exit(_WORKER_FAILED)


def _submit(spec: StudySpec, launcher: Launcher, storage: str) -> None:
    from ecd_tune.store import Store

    with Store.open(storage) as store:
        store.create(spec)
    before = len(launcher.status())
    launcher.submit()
    _show(launcher.status()[before:])


def _warn_of_file(engine: str, storage: str) -> None:
    if engine != "local" and storage.startswith("sqlite"):
        typer.echo(
            "ecd-tune: the storage is an SQLite file: its folder must be shared by all machines, "
            "and file locks must work there; PostgreSQL is the safe choice",
            err=True,
        )


def _manage(launcher: Launcher, engine: str, tail: bool, cancel: bool) -> None:
    if launcher.attached:
        raise LaunchError(
            f"--on {engine}: its workers end with the command that started them; see the output of "
            "that command, and stop it with Ctrl-C"
        )
    if cancel:
        launcher.cancel()
    views = launcher.status()
    _show(views)
    if not views:
        typer.echo(f"no workers were submitted from {launcher.launch.logs}")
    for view, text in zip(views, launcher.logs() if tail else [], strict=False):
        typer.echo(f"\n{view.log}:\n{text}")


def _show(views: list[WorkerView]) -> None:
    for view in views:
        restarts = f", {view.restarts} restarts" if view.restarts else ""
        reason = f": {view.reason}" if view.reason else ""
        typer.echo(f"worker {view.index}  {view.where}  {view.state.value}{reason}{restarts}")
    sys.stdout.flush()
