"""Local, Slurm and Ray workers on one study at the same time, one worker of each killed."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ecd_tune.launch import Launch, Launcher, WorkerState, make_launcher
from ecd_tune.launch.base import log_path
from ecd_tune.records import TrialState
from ecd_tune.spec import load_study
from ecd_tune.store import Store
from ecd_tune.testing.launcher import wait_until, write_digits_study
from ecd_tune.testing.pgbouncer import PgBouncer, find_pgbouncer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_pgbouncer() is None, reason="no pgbouncer is installed"),
    pytest.mark.usefixtures("slurm", "ray_cluster"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and files open
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ENGINES = ("ray", "slurm", "local")
"""The slowest start first: the others must not complete the study before it."""
TRIALS = 24
WORKERS = 2  # of each engine


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    with PgBouncer(postgres_url, servers=10) as pooler:
        yield pooler.url


def find_process(log: Path) -> int | None:
    """The worker that writes this log; all engines run on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "fd" / "1").readlink() == log:
                return int(folder.name)
        except OSError:
            continue
    return None


def kill_at_work(store: Store, log: Path) -> bool:
    """Kill a worker that holds a trial; one that has just told its result runs on."""
    pid = find_process(log)
    if pid is None:
        return False
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.1)  # a commit that was on its way has arrived by then
    name = f"{socket.gethostname()}:{pid}"
    at_work = any(worker.name == name and worker.running for worker in store.workers())
    os.kill(pid, signal.SIGKILL if at_work else signal.SIGCONT)
    return at_work


def test_a_study_of_three_engines_survives_a_kill_on_each(pooled_url: str, tmp_path: Path) -> None:
    study = write_digits_study(tmp_path, TRIALS, epochs=400)
    spec, launchers = load_study(study), dict[str, Launcher]()
    launch = Launch("launched", (str(study),), pooled_url, tmp_path, workers=WORKERS)
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(pooled_url))
        store.create(spec)
        for engine in ENGINES:
            launcher = make_launcher(engine, replace(launch, logs=tmp_path / engine))
            launchers[engine] = launcher
            launcher.submit()
            stack.callback(launcher.cancel)
            log = log_path(tmp_path / engine, 0)
            wait_until(lambda log=log: kill_at_work(store, log), f"a {engine} worker at work")

        def states(engine: str) -> list[WorkerState]:
            return [view.state for view in launchers[engine].status()]

        wait_until(lambda: not any(s.alive for e in ENGINES for s in states(e)), "the end")
        assert {state for engine in ENGINES for state in states(engine)} == {WorkerState.ENDED}
        records = store.trials(spec.key("sgd"))
        assert Counter(record.state for record in records if record.counts) == {
            TrialState.COMPLETE: TRIALS
        }
        assert sum(record.lost for record in records) == len(ENGINES)
        assert len(records) == TRIALS + len(ENGINES)
        for engine in ENGINES:
            logs = [log_path(tmp_path / engine, number).read_text() for number in range(WORKERS)]
            assert any("complete" in text for text in logs), engine
