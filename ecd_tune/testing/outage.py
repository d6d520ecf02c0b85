"""Stop the database under real workers, restart it, and check the results.

::

    python -m ecd_tune.testing.outage --seconds 600 --workers 4

It starts a PostgreSQL server and ``ecd-tune worker`` processes that train a small network, and
stops the server in the middle for a given time. The invariants are checked in the same run: the
budget is met exactly, no result and no attempt is lost, nothing ran twice, every worker ended by
itself with status 0, and none was silent for much more than a minute.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from ecd_tune.spec import StudySpec, load_study
from ecd_tune.store import Store
from ecd_tune.testing.faults import assert_consistent
from ecd_tune.testing.postgres import PostgresServer

__all__ = [
    "Outage",
    "WorkerLog",
    "log_paths",
    "read_log",
    "survive_outage",
    "working",
    "write_study",
]

_STUDY = """
name = "outage"
[task]
name = "digits"
hidden = 8
batch_size = 128
[budget]
trials = {trials}
steps = {epochs}
[sampler]
name = "random"
[confirmation]
runs = 0
[optimizers.ecdsep.space]
lr = {{ low = 0.01, high = 0.02 }}
eta = 2.0
nu = 0.01
"""
_START_SECONDS = 400.0
_FINISH_SECONDS = 900.0
_SPOKEN = ("retrying", "available again after")
_STAMP = "%Y-%m-%d %H:%M:%S,%f"
LONGEST_SILENCE = 75.0
"""Seconds: a minute, the longest pause between two tries, and what a busy machine adds."""


@dataclass(frozen=True)
class WorkerLog:
    """Log of one worker about the outage.

    Attributes:
        lines: How many lines.
        silence: Seconds between two of them, at most.
        away: Seconds for which the database did not answer, as the worker saw it.
    """

    lines: int
    silence: float
    away: float


@dataclass(frozen=True)
class Outage:
    """Result of the work.

    Attributes:
        seconds: How long the server was stopped.
        trials: Budget of the study, all of it finished.
        before: Trials that were finished when the server was stopped.
        back: Seconds from the server's start until a further result was stored.
        logs: Logs of the workers.
    """

    seconds: float
    trials: int
    before: int
    back: float
    logs: tuple[WorkerLog, ...]


def survive_outage(
    folder: Path, seconds: float, workers: int = 4, trials: int = 24, epochs: int = 300
) -> Outage:
    """Run workers through an outage and check that nothing is lost.

    Args:
        folder: For the study file and the workers' logs.
        seconds: How long the server is stopped at least: until each worker has noticed.
        workers: Worker processes.
        trials: Budget of the study.
        epochs: Length of a trial; 100 take about half a second of one core.

    Returns:
        The result; an ``AssertionError`` if something was lost.
    """
    file = write_study(folder, trials, epochs)
    spec = load_study(file)
    with PostgresServer() as server:
        url = server.create_database()
        with Store.open(url) as store:
            store.create(spec)
            with working(file, url, folder, workers) as processes:
                before = _wait_until_all_work(store, spec, workers)
                server.stop()
                began = time.monotonic()
                time.sleep(seconds)
                _wait_until_said(log_paths(folder, workers))
                server.start()
                seconds = time.monotonic() - began
                back = _wait_for_result(store, spec, before)
                ended = [process.wait(_FINISH_SECONDS) for process in processes]
            logs = tuple(read_log(path.read_text()) for path in log_paths(folder, workers))
            assert ended == [0] * workers, f"workers ended with {ended}; see {folder}"
            _assert_nothing_lost(store, spec)
    _assert_spoken(logs, seconds)
    return Outage(seconds, trials, before, back, logs)


def write_study(folder: Path, trials: int, epochs: int) -> Path:
    """Write the study file of a small network.

    Args:
        folder: Target folder.
        trials: Budget of the study.
        epochs: Length of a trial; 100 take about half a second of one core.

    Returns:
        The file.
    """
    file = folder / "outage.toml"
    file.write_text(_STUDY.format(trials=trials, epochs=epochs))
    return file


def log_paths(folder: Path, workers: int) -> list[Path]:
    """Return the files that :func:`working` writes."""
    return [folder / f"worker-{index}.log" for index in range(workers)]


@contextmanager
def working(
    file: Path, url: str, folder: Path, workers: int, checkpoints: str = "none"
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start ``ecd-tune worker`` processes; kill those that are left when the block is left.

    Args:
        file: The study file.
        url: The storage.
        folder: For their logs.
        workers: Number of workers.
        checkpoints: As ``--checkpoints`` takes it.

    Yields:
        Their processes.
    """
    # The URL contains a password, and every user of the machine can read command lines.
    environment = {**os.environ, "ECD_TUNE_STORAGE": url, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ecd_tune", "worker", str(file), "--checkpoints", checkpoints]
    processes = []
    try:
        for path in log_paths(folder, workers):
            with path.open("ab") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait_until_all_work(store: Store, spec: StudySpec, workers: int) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        (search, _) = store.progress(spec.name)
        if search.running == workers and search.finished >= workers:
            assert search.waiting == 0
            return search.finished
        assert search.remaining, "the study was complete before all workers had begun"
        time.sleep(0.02)
    raise AssertionError(f"not all of {workers} workers worked after {_START_SECONDS:.0f} s")


def _wait_until_said(logs: Sequence[Path]) -> None:
    # A worker notices when it tells a result, which may take a while on a busy machine.
    deadline = time.monotonic() + _START_SECONDS
    while not all(read_log(path.read_text()).lines for path in logs):
        assert time.monotonic() < deadline, "an outage was not said"
        time.sleep(0.05)


def _wait_for_result(store: Store, spec: StudySpec, before: int) -> float:
    # Trials that ran when the server stopped were finished meanwhile, but not told.
    began = time.monotonic()
    while store.progress(spec.name)[0].finished <= before:
        assert time.monotonic() - began < _FINISH_SECONDS, "no result came after the outage"
        time.sleep(0.02)
    return time.monotonic() - began


def _assert_nothing_lost(store: Store, spec: StudySpec) -> None:
    records = assert_consistent(store, spec)
    assert [record.attempt for record in records] == [1] * len(records), "work was done again"
    assert store.events(spec.name) == []


def read_log(text: str) -> WorkerLog:
    """Read a worker's log about an outage.

    Args:
        text: The worker's log.

    Returns:
        The figures; all 0 for one that has noticed nothing.
    """
    spoken = [line for line in text.splitlines() if any(part in line for part in _SPOKEN)]
    times = [datetime.strptime(line[:23], _STAMP) for line in spoken]
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    return WorkerLog(len(spoken), max(gaps, default=0.0), sum(gaps))


def _assert_spoken(logs: Sequence[WorkerLog], seconds: float) -> None:
    for log in logs:
        assert log.lines >= 2, "an outage was not said"
        assert log.silence <= LONGEST_SILENCE, f"silent for {log.silence:.0f} s"
        # Once at its beginning, once a minute, once at its end; a restart may take two tries.
        assert log.lines <= 4 + seconds / 60.0, f"{log.lines} lines"


def main() -> None:
    """Run one outage and print what became of the work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--trials", type=int, default=24)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outage = survive_outage(
            Path(folder), arguments.seconds, arguments.workers, arguments.trials
        )
    lines = [
        f"server away for {outage.seconds:.0f} s under {len(outage.logs)} workers",
        f"trials finished: {outage.trials} of {outage.trials}, {outage.before} before the outage",
        "checked: no attempt lost, none run twice, every worker ended with status 0",
        f"first result {outage.back:.1f} s after the server's start",
        *(
            f"worker {index}: {log.lines} lines about {log.away:.0f} s, "
            f"at most {log.silence:.0f} s apart"
            for index, log in enumerate(outage.logs)
        ),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
