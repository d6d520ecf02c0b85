"""Many workers on one PostgreSQL through PgBouncer: overhead, connections, and the server's CPU.

    python -m benchmarks.scale [--workers 1000] [--seconds 60] [--rounds 12] [--json FILE]

Each worker has its own store and connection to PgBouncer, and does the work of a worker without
training: look for dead workers in its turn, ask, wait, tell. The workers are threads of a few
processes; their heartbeats go out in groups, one transaction per process and beat. Trials last
``--seconds`` each, ``--rounds`` per worker on average. A random sampler, so that what is measured
is the store and no sampler. ``--starts`` workers start per second, as jobs of a scheduler do.

Overhead is the wall time of a worker's calls over the length of a trial: on a machine with other
work it is an upper bound. The time of processors is not: it says what free cores would do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.storage import seconds_of
from ecd_tune.records import Lease
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store, Worker
from ecd_tune.testing.faults import OPTIMIZER, assert_consistent
from ecd_tune.testing.pgbouncer import PgBouncer
from ecd_tune.testing.postgres import PostgresServer
from ecd_tune.testing.store import complete, make_spec
from ecd_tune.worker.heartbeat import Heartbeat

PROCESSES = get_context("forkserver")
SERVERS = 60
LEASE_SECONDS = 90.0


class Group:
    """Workers of one process.

    Args:
        url: Through PgBouncer.
        spec: The study.
        index: Of the group.
        workers: How many.
        seconds: Length of a trial.
        start: Seconds from the start of the first worker to that of the last.
    """

    def __init__(
        self, url: str, spec: StudySpec, index: int, workers: int, seconds: float, start: float
    ) -> None:
        self._url, self._spec, self._index = url, spec, index
        self._workers, self._seconds, self._start = workers, seconds, start
        self._held: dict[int, list[Lease]] = {}
        self._spent: list[float] = []
        self._told = [0] * workers

    def run(self) -> dict[str, Any]:
        """Work until the search is complete; return seconds per trial and processor time."""
        began = time.process_time()
        with Store.open(self._url, lease_seconds=LEASE_SECONDS) as store:
            beat = Heartbeat(store.renew, LEASE_SECONDS / 3)
            with beat.holding(lambda: [x for held in self._held.values() for x in held]):
                threads = [
                    threading.Thread(target=self._work, args=(number,))
                    for number in range(self._workers)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        return {
            "spent": self._spent,
            "told": sum(self._told),
            "processor": time.process_time() - began,
        }

    def _work(self, number: int) -> None:
        time.sleep(self._start * number / self._workers)
        worker = Worker(f"host-{self._index}", "", number + 1, 0)
        with Store.open(self._url, lease_seconds=LEASE_SECONDS) as store:
            while True:
                began = time.perf_counter()
                store.reap_in_turn([self._spec.key(OPTIMIZER)])
                leases = store.ask(self._spec, OPTIMIZER, count=1, worker=worker)
                spent = time.perf_counter() - began
                if not leases:
                    return
                self._held[number] = leases
                time.sleep(self._seconds)
                began = time.perf_counter()
                self._told[number] += sum(store.tell(complete(leases)))
                self._held[number] = []
                self._spent.append(spent + time.perf_counter() - began)


def run_group(*arguments: Any) -> dict[str, Any]:
    """Run one group in this process."""
    return Group(*arguments).run()


def watch_connections(address: str, done: threading.Event, found: list[int]) -> None:
    """Count the server's clients twice a second, this one left out."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    with psycopg.connect(address, autocommit=True) as connection:
        while not done.wait(0.5):
            row = connection.execute(query).fetchone()
            found.append(int(row[0]) - 1 if row else 0)


def measure(
    workers: int, seconds: float, rounds: int, groups: int, starts: float = 25.0
) -> dict[str, Any]:
    """Run one measurement and check that the budget was met exactly."""
    spec = make_spec(trials=workers * rounds)
    settings = {"max_connections": "80", "shared_buffers": "256MB"}
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(settings, on_disk=True))
        direct = server.create_database()
        pooler = stack.enter_context(PgBouncer(direct, SERVERS, 2 * workers + 100))
        with Store.open(direct) as store:
            store.create(spec)
        connections: list[int] = []
        done = threading.Event()
        watcher = threading.Thread(
            target=watch_connections, args=(direct.replace("+psycopg", ""), done, connections)
        )
        watcher.start()
        clocks = [lambda: seconds_of(server.process), lambda: seconds_of(pooler.process)]
        used, began = [clock() for clock in clocks], time.monotonic()
        share = [workers // groups + (index < workers % groups) for index in range(groups)]
        with PROCESSES.Pool(groups) as pool:
            common = (seconds, workers / starts)
            tasks = [(pooler.url, spec, index, count, *common) for index, count in enumerate(share)]
            found = pool.starmap(run_group, tasks, chunksize=1)
        wall = time.monotonic() - began
        used = [clock() - before for clock, before in zip(clocks, used, strict=True)]
        done.set()
        watcher.join()
        with Store.open(direct) as store:
            records = assert_consistent(store, spec)
    spent = sorted(second for group in found for second in group["spent"])
    trials = len(records)
    return {
        "workers": workers,
        "seconds": seconds,
        "trials": trials,
        "lost": sum(record.lost for record in records),
        "refused": trials - sum(group["told"] for group in found),
        "wall_seconds": wall,
        "trials_per_second": trials / wall,
        "overhead_mean": statistics.fmean(spent) / seconds,
        "overhead_p95": spent[int(0.95 * len(spent))] / seconds,
        "server_ms_per_trial": 1000 * used[0] / trials,
        "server_cores": used[0] / wall,
        "pooler_ms_per_trial": 1000 * used[1] / trials,
        "worker_ms_per_trial": 1000 * sum(group["processor"] for group in found) / trials,
        "connections": max(connections),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", default="1000", help="one or several numbers, A,B")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--groups", type=int, default=10, help="processes")
    parser.add_argument("--starts", type=float, default=25.0, help="workers started per second")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    rows = [
        measure(int(workers), given.seconds, given.rounds, given.groups, given.starts)
        for workers in given.workers.split(",")
    ]
    print("| workers | trials | trials/s | overhead, mean | p95 | server, ms a trial | "
          "cores | PgBouncer, ms a trial | worker, ms a trial | connections | lost |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['workers']} | {row['trials']} of {row['seconds']:g} s | "
            f"{row['trials_per_second']:.1f} | {row['overhead_mean']:.2%} | "
            f"{row['overhead_p95']:.2%} | {row['server_ms_per_trial']:.2f} | "
            f"{row['server_cores']:.2f} | {row['pooler_ms_per_trial']:.2f} | "
            f"{row['worker_ms_per_trial']:.1f} | "
            f"{row['connections']} | {row['lost']} |"
        )
    if given.json:
        about = {
            "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
            "load": os.getloadavg(),
            **{name: version(name) for name in ("sqlalchemy", "psycopg", "optuna")},
        }
        given.json.write_text(json.dumps({"about": about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
