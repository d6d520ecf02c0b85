"""Parts of the contract that run concurrently in other processes and threads."""

from __future__ import annotations

import multiprocessing
import threading
import time
from typing import Any

from ecd_tune.records import Outcome, Stage, Status
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store.study import OPTIMIZER, work

__all__ = [
    "PROCESSES",
    "at_once",
    "claim_at_signal",
    "create_at_signal",
    "hold",
    "in_processes",
    "work_at_signal",
]

_HANG = 300.0

# Imports once, then forks: a test can afford 64 processes.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["ecd_tune.testing.store", "sqlalchemy.dialects.postgresql.psycopg", "psycopg"]
)


def work_at_signal(url: str, spec: StudySpec, ready: Any, start: Any, done: Any) -> None:
    """Work on a study from a signal on."""
    ready.put(True)
    start.wait()
    done.put(work(url, spec, 3))


def hold(url: str, spec: StudySpec, count: int, ready: Any) -> None:
    """Lease trials and never come back."""
    with Store.open(url) as store:
        ready.put(len(store.ask(spec, OPTIMIZER, count=count, worker=Worker.current())))
        time.sleep(600)


def create_at_signal(url: str, spec: StudySpec, ready: Any, start: Any, done: Any) -> None:
    """Open a database that may be empty and create a study, at a signal."""
    ready.put(True)
    start.wait()
    with Store.open(url) as store:
        store.create(spec)
        done.put(store.studies())


def claim_at_signal(url: str, spec: StudySpec, ready: Any, start: Any, done: Any) -> None:
    """Claim queued trials, 7 at a time, until there are none; return them."""
    ready.put(True)
    start.wait()
    numbers: list[int] = []
    worker, key = Worker.current(), spec.key(OPTIMIZER, Stage.CONFIRM)
    with Store.open(url) as store:
        while leases := store.claim(key, count=7, worker=worker):
            numbers += [lease.number for lease in leases]
            store.tell([(lease, Outcome(Status.COMPLETE, 0.0)) for lease in leases])
    done.put(numbers)


def at_once(count: int, call: Any) -> list[Any]:
    """Make a call in threads that all begin at the same moment.

    Args:
        count: How many threads.
        call: The functions to call, without arguments.

    Returns:
        The results, in the order in which the calls ended.
    """
    barrier, results = threading.Barrier(count), []

    def run() -> None:
        barrier.wait()
        results.append(call())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def in_processes(count: int, target: Any, url: str, spec: StudySpec) -> list[Any]:
    """Run ``target`` in processes that all begin at the same moment.

    Args:
        count: How many processes.
        target: One of the functions ``..._at_signal`` of this module.
        url: The storage.
        spec: The study.

    Returns:
        The results, in the order in which the processes ended.
    """
    ready, start, done = PROCESSES.Queue(), PROCESSES.Event(), PROCESSES.Queue()
    arguments = (url, spec, ready, start, done)
    children = [PROCESSES.Process(target=target, args=arguments) for _ in range(count)]
    for child in children:
        child.start()
    for _ in children:
        ready.get(timeout=_HANG)
    start.set()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * count
    return [done.get(timeout=_HANG) for _ in children]
