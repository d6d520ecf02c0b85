"""Workers without torch that can be killed, stalled and cut off, and invariants afterwards.

:func:`run_worker` is the worker's loop with an evaluation that only sleeps: claim, heartbeat, tell,
reap. :func:`assert_consistent` checks the invariants: the budget is met exactly, nothing is left
running, nothing ran twice, and no attempt is lost without its copy.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from typing import Any

from ecd_tune.records import TrialRecord, TrialState
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import complete
from ecd_tune.worker.heartbeat import Heartbeat

__all__ = ["WorkerGroup", "assert_consistent", "run_worker"]

OPTIMIZER = "ecdsep"
_SETTLE_SECONDS = 0.05
_PROCESSES = multiprocessing.get_context("forkserver")


def run_worker(
    url: str, spec: StudySpec, seconds: float = 0.01, count: int = 2, lease_seconds: float = 30.0
) -> None:
    """Work until the search is complete, as a worker process does.

    Args:
        url: The storage; the study is created when it is not there.
        spec: The study.
        seconds: Length of one evaluation.
        count: Trials to ask for at once.
        lease_seconds: Duration of a lease.
    """
    worker = Worker.current()
    with Store.open(url, lease_seconds=lease_seconds) as store:
        store.create(spec)
        heartbeat = Heartbeat(store.renew, lease_seconds / 3)
        while _remaining(store, spec):
            store.reap([spec.key(OPTIMIZER)])
            leases = store.ask(spec, OPTIMIZER, count=count, worker=worker)
            if not leases:
                time.sleep(0.05)
                continue
            with heartbeat.holding(leases):
                time.sleep(seconds)
            store.tell(complete(leases))


def _remaining(store: Store, spec: StudySpec) -> int:
    (search, _) = store.progress(spec.name)
    return search.remaining


class WorkerGroup:
    """Worker processes, of which those that die are replaced.

    Args:
        url: The storage.
        spec: The study.
        size: How many work at a time.
        options: Further arguments of :func:`run_worker`.
    """

    def __init__(self, url: str, spec: StudySpec, size: int, **options: Any) -> None:
        self._arguments, self._size, self._options = (url, spec), size, options
        self.processes: list[ForkServerProcess] = []

    @contextmanager
    def working(self) -> Iterator[WorkerGroup]:
        """Start the workers; end them when the block is left.

        Yields:
            This crew.
        """
        try:
            self.fill()
            yield self
        finally:
            for process in self.processes:
                process.kill()
            for process in self.processes:
                process.join()

    def fill(self) -> None:
        """Replace those that were killed."""
        self.processes = [p for p in self.processes if p.exitcode != -signal.SIGKILL]
        while len(self.processes) < self._size:
            process = _PROCESSES.Process(
                target=run_worker, args=self._arguments, kwargs=self._options
            )
            process.start()
            self.processes.append(process)

    def kill_one(self, chooser: random.Random, store: Store, *, at_work: bool) -> bool:
        """Kill a random worker.

        Args:
            chooser: Chooses.
            store: The store, to find workers with trials.
            at_work: Only a worker that holds trials when it dies: it is stopped first, and
                continues if its result was told in the meantime.

        Returns:
            False when there was none to kill.
        """
        alive = [process for process in self.processes if process.is_alive()]
        if at_work:
            alive = [process for process in alive if _holds(process, store)]
        if not alive:
            return False
        victim = chooser.choice(alive)
        assert victim.pid is not None
        if at_work:
            os.kill(victim.pid, signal.SIGSTOP)
            # A commit that was on its way to the server has arrived by then.
            time.sleep(_SETTLE_SECONDS)
            if not _holds(victim, store):
                os.kill(victim.pid, signal.SIGCONT)
                return False
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        return victim.exitcode == -signal.SIGKILL

    def wait(self, seconds: float) -> list[int | None]:
        """Wait for the workers to end by themselves.

        Args:
            seconds: For all of them together.

        Returns:
            Their exit statuses; None for one that still runs.
        """
        deadline = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        return [process.exitcode for process in self.processes]


def _holds(process: ForkServerProcess, store: Store) -> bool:
    name = f"{socket.gethostname()}:{process.pid}"
    return any(worker.name == name and worker.running for worker in store.workers())


def assert_consistent(store: Store, spec: StudySpec) -> list[TrialRecord]:
    """Check that a complete search lost nothing and did nothing twice.

    Args:
        store: The store.
        spec: The study.

    Returns:
        All trials, lost attempts included.
    """
    records = store.trials(spec.key(OPTIMIZER))
    counted = [record for record in records if record.counts]
    assert len(counted) == spec.trials(OPTIMIZER)
    assert all(record.state is TrialState.COMPLETE for record in counted)
    open_ = [r for r in records if not r.state.finished]
    assert not open_, f"left {[(r.number, r.state) for r in open_]}"
    assert [record.number for record in records] == list(range(len(records)))
    finished = Counter((tuple(r.params.items()), r.seed) for r in counted)
    assert set(finished.values()) == {1}, "a point was finished twice"
    # Each lost attempt has its copy, hence its finished run, with the same seed.
    lost = {(tuple(r.params.items()), r.seed) for r in records if r.lost}
    assert lost <= set(finished), "a point was lost"
    (search, _) = store.progress(spec.name)
    assert (search.running, search.waiting, search.remaining) == (0, 0, 0)
    return records
