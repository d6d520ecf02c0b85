"""Trials per second through the shared database: ours against plain Optuna, side by side.

    python -m benchmarks.storage [--batches 1,64,512] [--workers 1,2] [--seconds 5]
                                 [--backends sqlite,postgresql] [--json FILE]

Each worker is a process that asks for trials with six parameters of a random sampler, reports one
point of the curve of each, and tells their values: ours a batch at a time, plain Optuna, which has
no batches, one by one. Every measurement has a database of its own; PostgreSQL is a server of the
benchmark's own with its default settings, on disk. Ours and plain Optuna take turns. The time of
processors, of all workers and of the server together, says what free cores would give on a machine
that has other work.

The targets, in the last column: ratios for single trials and batches of 64, trials per second
for batches of 512.
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
NAMES = ("lr", "eta", "nu", "delta_energy", "weight_decay", "eps1")
SPEC = make_spec(
    "random", trials=500_000, space={name: {"low": LOW, "high": HIGH} for name in NAMES}
)
TARGETS = {
    ("sqlite", 1): "6 x",
    ("sqlite", 64): "60 x",
    ("sqlite", 512): "3000 /s",
    ("postgresql", 1): "4 x",
    ("postgresql", 64): "40 x",
    ("postgresql", 512): "2000 /s",
}


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        backend: sqlite or postgresql.
        batch: Trials that ours asks for and tells at once.
        workers: Processes.
        ours: Trials per second.
        peer: Trials per second of plain Optuna.
        ours_cpu: Processor time of ours, in µs a trial; the server's included.
        peer_cpu: Likewise of plain Optuna.
        ours_errors: Workers of ours that ended with an error.
        peer_errors: Workers of plain Optuna that ended with an error.
    """

    backend: str
    batch: int
    workers: int
    ours: float
    peer: float
    ours_cpu: float
    peer_cpu: float
    ours_errors: int
    peer_errors: int

    @property
    def ratio(self) -> float:
        """Ours divided by the peer's."""
        return self.ours / self.peer if self.peer else float("inf")


def main() -> None:
    """Measure, print the table, write the JSON file where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", default="1,64,512")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--backends", default="sqlite,postgresql")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(
        "| database | batch | workers | ours, trials/s | plain Optuna, trials/s | ratio "
        "| ours, processor µs | plain, processor µs | ratio | failed workers | target |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with ExitStack() as stack:
        for backend in arguments.backends.split(","):
            databases, clock = stack.enter_context(open_backend(backend))
            for batch in map(int, arguments.batches.split(",")):
                for workers in map(int, arguments.workers.split(",")):
                    made = databases(), databases()
                    rows.append(measure(backend, made, clock, batch, workers, arguments.seconds))
                    show(rows[-1])
    if arguments.json:
        write(arguments.json, rows, arguments.seconds)


@contextmanager
def open_backend(name: str) -> Iterator[tuple[Callable[[], str], Callable[[], float]]]:
    """Yield what makes an empty database, and what tells the processor time of its server."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield lambda: f"sqlite:///{tempfile.mkdtemp(dir=folder)}/trials.db", lambda: 0.0
    else:
        with PostgresServer({}, on_disk=True) as server:
            yield server.create_database, lambda: seconds_of(server.process)


def seconds_of(parent: int) -> float:
    """Return the processor time of a process and of its children, those that ended included."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(path.parent.name) == parent:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == parent:
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(
    backend: str,
    urls: tuple[str, str],
    clock: Callable[[], float],
    batch: int,
    workers: int,
    seconds: float,
) -> Row:
    """Let plain Optuna and ours take turns, each on a fresh database."""
    peer, peer_cpu, peer_errors = run_all(
        run_peer, prepare_peer(urls[0]), clock, 1, workers, seconds
    )
    ours, ours_cpu, ours_errors = run_all(
        run_ours, prepare_ours(urls[1]), clock, batch, workers, seconds
    )
    return Row(backend, batch, workers, ours, peer, ours_cpu, peer_cpu, ours_errors, peer_errors)


def run_all(
    target: Any, url: str, clock: Callable[[], float], batch: int, workers: int, seconds: float
) -> tuple[float, float, int]:
    """Run a worker function in processes that begin together.

    Returns:
        Trials per second of all together, processor time in µs a trial, and how many failed.
    """
    start, done = PROCESSES.Barrier(workers + 1), PROCESSES.Queue()
    arguments = (target, url, batch, seconds, start, done)
    children = [PROCESSES.Process(target=run_one, args=arguments) for _ in range(workers)]
    for child in children:
        child.start()
    start.wait(120)
    before = clock()
    results = [done.get(timeout=seconds + 120) for _ in children]
    for child in children:
        child.join()
    server, trials = clock() - before, sum(count for count, *_ in results)
    rate = sum(count / spent for count, spent, _, _ in results)
    used = server + sum(cpu for _, _, cpu, _ in results)
    return rate, used / trials * 1e6, sum(bad for *_, bad in results)


def run_one(target: Any, url: str, batch: int, seconds: float, start: Any, done: Any) -> None:
    """Call one worker's step until its time is over."""
    count, bad = 0, False
    with target(url, batch) as step:
        start.wait()
        began, used = time.perf_counter(), time.process_time()
        try:
            while time.perf_counter() - began < seconds:
                step()
                count += batch
        except Exception as error:
            bad = True
            print(f"{target.__name__}: {type(error).__name__}: {str(error)[:200]}")
        spent = time.perf_counter() - began
        done.put((count, spent, time.process_time() - used, bad))


def prepare_ours(url: str) -> str:
    """Create the study."""
    with Store.open(url) as store:
        store.create(SPEC)
    return url


@contextmanager
def run_ours(url: str, batch: int) -> Iterator[Callable[[], None]]:
    """Yield a function that runs one batch of trials through the store."""
    worker = Worker.current()
    with Store.open(url) as store, (reports := ReportBuffer(store.report)).flushing():

        def step() -> None:
            leases = store.ask(SPEC, "ecdsep", count=batch, worker=worker)
            while not leases:  # someone else took the numbers
                leases = store.ask(SPEC, "ecdsep", count=batch, worker=worker)
            results = []
            for lease in leases:
                value = float(lease.request.params["lr"])
                reports.report(lease, 0, value)
                results.append((lease, Outcome(Status.COMPLETE, value)))
            taken = store.tell(results, reports.take())
            assert taken == [True] * batch

        yield step


def prepare_peer(url: str) -> str:
    """Create the study with plain Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(storage=storage, study_name="peer")
    storage.engine.dispose()
    return url


@contextmanager
def run_peer(url: str, batch: int) -> Iterator[Callable[[], None]]:
    """Yield a function that runs one trial through plain Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler()
    study = optuna.load_study(study_name="peer", storage=url, sampler=sampler)

    def step() -> None:
        trial = study.ask()
        value, *_ = (trial.suggest_float(name, LOW, HIGH) for name in NAMES)
        trial.report(value, 0)
        study.tell(trial, value)

    yield step


def show(row: Row) -> None:
    """Print one row of the table."""
    print(
        f"| {row.backend} | {row.batch} | {row.workers} | {row.ours:.0f} | {row.peer:.0f} "
        f"| {row.ratio:.1f} | {row.ours_cpu:.0f} | {row.peer_cpu:.0f} "
        f"| {row.peer_cpu / row.ours_cpu:.1f} | {row.ours_errors} ours, {row.peer_errors} plain "
        f"| {TARGETS.get((row.backend, row.batch), '')} |",
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
