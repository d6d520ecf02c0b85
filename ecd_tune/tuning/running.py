"""Run a study to its end, in this process or in worker processes."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import current_thread, main_thread

import numpy as np
import torch

from ecd_tune.cli.display import Display, make_display
from ecd_tune.cli.notebook_bar import NotebookBar
from ecd_tune.cli.options import study_arguments
from ecd_tune.cli.watch import check_results, explain_failures, run_workers
from ecd_tune.errors import LaunchError, StorageUrlError, StoreError
from ecd_tune.launch import Launch, Placement, WorkerState, WorkerView, make_launcher
from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store
from ecd_tune.worker import StudyWorker, WorkerSummary, open_checkpoints

__all__ = ["preserve_global_state", "is_new", "run_here", "run_processes"]


def run_here(spec: StudySpec, storage: str) -> None:
    """Work on a study in this process until it is complete.

    Args:
        spec: The study.
        storage: Database URL.

    Raises:
        KeyboardInterrupt: It was interrupted.
        NoResultError: An optimizer ended its search without a single value.
    """
    stop = StopFlag()
    # Only the main thread receives signals.
    signals = stop if current_thread() is main_thread() else nullcontext()
    display = _make_display(spec)
    view = WorkerView(0, os.getpid(), WorkerState.RUNNING, 0, "", Placement(), Path())
    with preserve_global_state(), signals, Store.open(storage) as store:

        def say(summary: WorkerSummary) -> None:
            display.update(store.progress(spec.name), [view])

        kept = open_checkpoints(spec.checkpoints)
        store.create(spec)
        with display:
            StudyWorker(store, spec, stop, say, kept).run()
            display.update(store.progress(spec.name), [])
        if stop():
            raise KeyboardInterrupt("interrupted; call it again to resume")
        check_results(store, spec)


def run_processes(
    spec: StudySpec, reference: str, storage: str, workers: int, folder: Path
) -> None:
    """Run worker processes on a study until it is complete.

    Args:
        spec: The study.
        reference: Of its task, as ``ecd-tune worker`` takes it.
        storage: Database URL.
        workers: Number of workers.
        folder: Their logs are in its ``logs``.

    Raises:
        KeyboardInterrupt: It was interrupted.
        LaunchError: A worker failed.
        NoResultError: An optimizer ended its search without a single value.
    """
    keys = ",".join(spec.optimizers)
    arguments = study_arguments(reference, None, None, keys, False, spec.name)
    with StopFlag() as stop:
        launch = Launch(spec.name, tuple(arguments), storage, folder / "logs", workers=workers)
        views = run_workers(spec, make_launcher("local", launch), storage, stop)
    if stop():
        raise KeyboardInterrupt("interrupted; call it again to resume")
    if explain_failures(views):
        raise LaunchError(f"workers of study {spec.name!r} failed; see their logs above")
    with Store.open(storage, create=False) as store:
        check_results(store, spec)


def is_new(spec: StudySpec, storage: str) -> bool:
    """Return whether a study has no finished trial yet.

    Args:
        spec: The study.
        storage: Database URL.

    Raises:
        StorageUrlError: The URL is not supported.
    """
    try:
        with Store.open(storage, create=False) as store:
            return not any(progress.finished for progress in store.progress(spec.name))
    except StorageUrlError:
        raise
    except StoreError:
        return True  # no database yet; other errors are reported when it is used


@contextmanager
def preserve_global_state() -> Iterator[None]:
    """Restore the global random generators and torch's number of threads at the end.

    As a worker does, the block uses one thread, or ``$OMP_NUM_THREADS``.
    """
    threads, states = torch.get_num_threads(), (np.random.get_state(), random.getstate())
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        with torch.random.fork_rng():
            yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
        torch.set_num_threads(threads)


def _make_display(spec: StudySpec) -> Display:
    from rich.console import Console

    if Console().is_jupyter:
        return NotebookBar(spec)
    return make_display(spec, sys.stdout.isatty())
