"""``ecd-tune worker``: one worker process."""

from __future__ import annotations

import gc
import logging
import math
import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

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
)
from ecd_tune.cli.prechecks import check_data
from ecd_tune.cli.progress_bar import make_bar
from ecd_tune.cli.stopping import say_stopping
from ecd_tune.errors import CheckpointError
from ecd_tune.spec import PLACES, CheckpointSpec, StudySpec, parse_place

if TYPE_CHECKING:
    from ecd_tune.cli.progress_bar import RunBar
    from ecd_tune.signals import StopFlag
    from ecd_tune.worker import WorkerSummary

__all__ = ["worker"]


def worker(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    optimizers: Optimizers = None,
    trials: TrialsOption = None,
    seed: Seed = None,
    smoke: Smoke = False,
    name: Called = None,
    threads: Annotated[
        int, typer.Option(min=1, envvar="OMP_NUM_THREADS", help="Torch threads of the worker.")
    ] = 1,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            envvar="ECD_TUNE_CHECKPOINTS",
            metavar="PLACE",
            help=f"Storage of checkpoints of unfinished training runs: {PLACES}. "
            "[default: as in the file, else ~/.local/state/ecd_tune/checkpoints]",
            show_default=False,
            show_envvar=True,
        ),
    ] = None,
    checkpoint_limit: Annotated[
        float | None,
        typer.Option(
            envvar="ECD_TUNE_CHECKPOINT_LIMIT",
            metavar="GIB",
            help="Maximum size of one run's checkpoint; larger ones are not saved, and the run "
            "continues. [default: as in the file, else 2]",
            show_default=False,
            show_envvar=True,
        ),
    ] = None,
    follow_stdin: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run one worker until the study is complete; start one per core or GPU.

    The study is created if the database does not contain it. The first Ctrl-C or SIGTERM saves the
    training run, re-queues the running trials and exits; the second exits immediately.
    """
    spec = resolve_study(study, trials, seed, optimizers, smoke, storage=storage, called=name)
    check_data(spec, study)
    kept_where = _checkpoints(spec, checkpoints, checkpoint_limit)
    bar = make_bar(sys.stderr)
    if bar is None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    else:
        logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[bar.handler()])
    from ecd_tune.signals import StopFlag

    # Before torch is loaded, which takes seconds: process 1 of a container gets no signal that it
    # does not handle.
    with bar or nullcontext(), StopFlag(say=say_stopping) as stop:
        if follow_stdin:
            stop.follow(sys.stdin.fileno())
        summary = _work(spec, storage, threads, kept_where, bar, stop)
    end = "interrupted; its trials are re-queued" if summary.interrupted else "complete"
    late = f", {summary.refused} rejected because they were too late" if summary.refused else ""
    logging.info("%s: %s; %d results stored%s", spec.name, end, summary.told, late)
    # Python's last garbage collection walks through all of torch, for most of a second.
    gc.freeze()
    raise typer.Exit(stop.exit_status)


def _work(
    spec: StudySpec,
    storage: str,
    threads: int,
    checkpoints: CheckpointSpec,
    bar: RunBar | None,
    stop: StopFlag,
) -> WorkerSummary:
    # Torch is loaded here and not sooner: a mistake in the arguments is answered at once.
    import torch

    from ecd_tune.store import Store
    from ecd_tune.worker import StudyWorker, open_checkpoints

    torch.set_num_threads(threads)

    on_step = None if bar is None else bar.step
    with Store.open(storage) as store:
        kept = open_checkpoints(checkpoints)
        return StudyWorker(
            store, spec, stop, checkpoints=kept, on_step=on_step, leave=os._exit
        ).run()


def _checkpoints(spec: StudySpec, place: str | None, limit: float | None) -> CheckpointSpec:
    """Override the checkpoint settings of the file with those of the command line."""
    changes: dict[str, str | float] = {}
    if place:
        try:
            parse_place(place)
        except ValueError as error:
            raise CheckpointError(f"--checkpoints {error}") from None
        changes["place"] = place
    if limit is not None:
        if not 0.0 < limit < math.inf:
            raise CheckpointError(f"--checkpoint-limit {limit:g}: must be a number of GiB above 0")
        changes["max_gib"] = limit
    return spec.checkpoints.model_copy(update=changes)
