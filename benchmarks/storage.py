"""Trials per second through the shared database: ours against plain Optuna, side by side.

    python benchmarks/storage.py [--workers 1,2,4,8,16] [--seconds 5] [--backends sqlite,postgresql]
                                 [--json FILE]

Each worker is a process that asks for a trial with one float of a random sampler, reports one
value on the way, and tells one at the end; ours, as a worker does, asks for the next trial with
the tell of the last. Every measurement has a database of its own;
PostgreSQL is a server of the benchmark's own with its default settings, on disk. Ours and plain
Optuna take turns.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna

from ecd_tune.records import Outcome, Status
from ecd_tune.store import ReportBuffer, Store, Worker
from ecd_tune.testing.postgres import PostgresServer
from ecd_tune.testing.store import make_spec

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["ecd_tune.testing.postgres", "ecd_tune.testing.store"])
LOW, HIGH = 1e-9, 1.0
SPEC = make_spec("random", trials=500_000, space={"lr": {"low": LOW, "high": HIGH}, "eta": 1.0})


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        backend: sqlite or postgresql.
        workers: Processes.
        ours: Trials per second.
        peer: Trials per second of plain Optuna.
        ours_errors: Workers of ours that ended with an error.
        peer_errors: Workers of plain Optuna that ended with an error.
    """

    backend: str
    workers: int
    ours: float
    peer: float
    ours_errors: int
    peer_errors: int

    @property
    def ratio(self) -> float:
        """Ours divided by the peer's."""
        return self.ours / self.peer if self.peer else float("inf")


def main() -> None:
    """Measure, print the table, write the JSON file where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="1,2,4,8,16")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--backends", default="sqlite,postgresql")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(
        "| database | workers | ours, trials/s | plain Optuna, trials/s | ratio | failed workers |"
    )
    print("|---|---|---|---|---|---|")
    with ExitStack() as stack:
        for backend in arguments.backends.split(","):
            databases = stack.enter_context(open_backend(backend))
            for workers in map(int, arguments.workers.split(",")):
                rows.append(measure(backend, databases, workers, arguments.seconds))
                show(rows[-1])
    if arguments.json:
        write(arguments.json, rows, arguments.seconds)


@contextmanager
def open_backend(name: str) -> Iterator[Callable[[], str]]:
    """Yield a function that makes an empty database and returns its URL."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield lambda: f"sqlite:///{tempfile.mkdtemp(dir=folder)}/trials.db"
    else:
        with PostgresServer({}, on_disk=True) as server:
            yield server.create_database


def measure(backend: str, databases: Callable[[], str], workers: int, seconds: float) -> Row:
    """Let plain Optuna and ours take turns, each on a fresh database."""
    peer, peer_errors = run_all(run_peer, prepare_peer(databases()), workers, seconds)
    ours, ours_errors = run_all(run_ours, prepare_ours(databases()), workers, seconds)
    return Row(backend, workers, ours, peer, ours_errors, peer_errors)


def run_all(target: Any, url: str, workers: int, seconds: float) -> tuple[float, int]:
    """Run a worker function in processes that begin together.

    Returns:
        Trials per second of all together, and how many of them failed.
    """
    start, done = PROCESSES.Barrier(workers + 1), PROCESSES.Queue()
    arguments = (target, url, seconds, start, done)
    children = [PROCESSES.Process(target=run_one, args=arguments) for _ in range(workers)]
    for child in children:
        child.start()
    start.wait(120)
    results = [done.get(timeout=seconds + 120) for _ in children]
    for child in children:
        child.join()
    return sum(count / spent for count, spent, _ in results), sum(bad for _, _, bad in results)


def run_one(target: Any, url: str, seconds: float, start: Any, done: Any) -> None:
    """Call one worker's step until its time is over."""
    count, bad = 0, False
    with target(url) as step:
        start.wait()
        began = time.perf_counter()
        try:
            while time.perf_counter() - began < seconds:
                step()
                count += 1
        except Exception as error:
            bad = True
            print(f"{target.__name__}: {type(error).__name__}: {str(error)[:200]}")
        done.put((count, time.perf_counter() - began, bad))


def prepare_ours(url: str) -> str:
    """Create the study."""
    with Store.open(url) as store:
        store.create(SPEC)
    return url


@contextmanager
def run_ours(url: str) -> Iterator[Callable[[], None]]:
    """Yield a function that runs one trial through the store."""
    worker = Worker.current()
    with Store.open(url) as store, (reports := ReportBuffer(store.report)).flushing():
        leases = store.ask(SPEC, "ecdsep", count=1, worker=worker)

        def step() -> None:
            nonlocal leases
            (lease,) = leases
            value = float(lease.request.params["lr"])
            reports.report(lease, 0, value)
            results = [(lease, Outcome(Status.COMPLETE, value))]
            taken, leases = store.exchange(
                results, reports.take(), SPEC, "ecdsep", count=1, worker=worker
            )
            assert taken == [True]

        yield step
        store.release(leases)


def prepare_peer(url: str) -> str:
    """Create the study with plain Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(storage=storage, study_name="peer")
    storage.engine.dispose()
    return url


@contextmanager
def run_peer(url: str) -> Iterator[Callable[[], None]]:
    """Yield a function that runs one trial through plain Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler()
    study = optuna.load_study(study_name="peer", storage=url, sampler=sampler)

    def step() -> None:
        trial = study.ask()
        value = trial.suggest_float("lr", LOW, HIGH)
        trial.report(value, 0)
        study.tell(trial, value)

    yield step


def show(row: Row) -> None:
    """Print one row of the table."""
    print(
        f"| {row.backend} | {row.workers} | {row.ours:.0f} | {row.peer:.0f} | {row.ratio:.1f} "
        f"| {row.ours_errors} ours, {row.peer_errors} plain |",
        flush=True,
    )


def write(path: Path, rows: list[Row], seconds: float) -> None:
    """Write the figures with versions and machine."""
    figures = {
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "seconds": seconds,
        "versions": {p: version(p) for p in ("ecd_tune", "optuna", "sqlalchemy", "psycopg")},
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
    }
    path.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
