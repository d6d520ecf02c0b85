"""``ecd-tune launch``: many workers on one machine, each on its own GPUs and cores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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

__all__ = ["launch"]

_WORKER_FAILED = 1


def launch(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    gpus_per_worker: Annotated[
        int | None, typer.Option(min=1, help="Whole GPUs for each worker. [default: none]")
    ] = None,
    workers_per_gpu: Annotated[
        int | None, typer.Option(min=1, help="Workers that share one GPU. [default: none]")
    ] = None,
    cores_per_worker: Annotated[
        int | None,
        typer.Option(min=1, help="Cores and threads for each worker. [default: one, not pinned]"),
    ] = None,
    max_restarts: Annotated[
        int, typer.Option(min=0, help="How often a worker that died is started again.")
    ] = 5,
    trials: TrialsOption = None,
    optimizers: Optimizers = None,
    seed: Seed = None,
    smoke: Smoke = False,
    name: Called = None,
    logs: Annotated[
        Path | None, typer.Option(help="Folder of the workers' logs. [default: logs/STUDY]")
    ] = None,
) -> None:
    """Start workers on this machine, restart those that die, and show them in one table.

    Ctrl-C ends all of them cleanly. The report is another command: `ecd-tune report`.
    """
    from ecd_tune.cli.watch import explain_failures, run_workers
    from ecd_tune.launch import find_gpus, plan_placements, usable_cores
    from ecd_tune.signals import StopFlag

    spec = resolve_study(study, trials, seed, optimizers, smoke, storage=storage, called=name)
    placements = plan_placements(
        workers,
        find_gpus(),
        usable_cores(),
        gpus_per_worker=gpus_per_worker,
        workers_per_gpu=workers_per_gpu,
        cores_per_worker=cores_per_worker,
    )
    arguments = study_arguments(study, trials, seed, optimizers, smoke, name)
    folder = logs or Path("logs") / spec.name
    check_folder(folder, "--logs")
    check_data(spec, study)
    with StopFlag(say=say_stopping) as stop:
        views = run_workers(spec, arguments, placements, storage, folder, max_restarts, stop)
    if stop():
        typer.echo("Interrupted; run the same command to resume.")
        raise typer.Exit(stop.exit_status)
    if explain_failures(views):
        raise typer.Exit(_WORKER_FAILED)
