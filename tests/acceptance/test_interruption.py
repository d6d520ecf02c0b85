"""Killed, stopped and resumed: the study ends with exactly its budget."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import optuna
import pytest

from ecd_tune.store import Progress, Store
from tests.preloaded import preloaded_python

TRIALS, STEPS = 20, 1000
DEADLINE = 300.0
"""Seconds after which something hangs; everything here takes a few."""


@pytest.fixture
def start_run(tmp_path: Path, write_study):
    """Start a run of eight batches of five trials, in a process group of its own."""
    study = write_study(trials=TRIALS, steps=STEPS)
    started: list[subprocess.Popen[str]] = []

    def start(workers: int = 2, python: str = sys.executable) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [python, "-m", "ecd_tune", "run", str(study), "--workers", str(workers)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def progress(folder: Path) -> list[Progress]:
    path = folder / "ecd_tune.db"
    if not path.exists():
        return []
    with Store.open(f"sqlite:///{path}") as store:
        return store.progress("small")


def finished_trials(folder: Path) -> int:
    return sum(row.finished for row in progress(folder) if row.key.stage == "search")


def count_finished(folder: Path) -> int:
    """Look as quickly as can be: opening a store may take as long as half of the run."""
    state = "state IN ('COMPLETE', 'PRUNED', 'FAIL')"
    with suppress(sqlite3.OperationalError):  # there is no file yet, or there are no tables
        path = f"file:{folder / 'ecd_tune.db'}?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=60)) as connection:
            row = connection.execute(f"SELECT count(*) FROM trials WHERE {state}").fetchone()
            return int(row[0])
    return 0


def wait_until_half_way(folder: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while count_finished(folder) < 10:
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def worker_pids(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode().split("\0")
                here = (entry / "cwd").resolve() == folder.resolve()
            except OSError:
                continue
            if here and "worker" in command:
                found.append(int(entry.name))
    return found


def assert_complete(folder: Path, interrupted: int) -> None:
    url = f"sqlite:///{folder / 'ecd_tune.db'}"
    for optimizer in ("ecdsep", "adam"):
        trials = optuna.load_study(study_name=f"small/{optimizer}", storage=url).trials
        assert all(trial.state.is_finished() for trial in trials)
    rows = progress(folder)
    for row in rows:
        goal = {"search": TRIALS, "confirm": 8 if row.key.optimizer == "ecdsep" else 4}
        assert (row.key, row.finished) == (row.key, goal[row.key.stage])
        assert row.running == row.waiting == 0
    assert sum(row.lost for row in rows) == interrupted


def test_kill_9_of_all_processes_then_resume(start_run, tmp_path: Path) -> None:
    first = start_run()
    wait_until_half_way(tmp_path, first)
    workers = worker_pids(tmp_path)
    assert len(workers) == 2
    for pid in (first.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    first.communicate()
    assert finished_trials(tmp_path) < 2 * TRIALS
    abandoned = sum(row.running for row in progress(tmp_path))

    again = start_run(workers=1, python=preloaded_python())
    output, _ = again.communicate(timeout=DEADLINE)
    assert again.returncode == 0, output
    assert_complete(tmp_path, abandoned)


def test_ctrl_c_leaves_nothing_running_and_resumes(start_run, tmp_path: Path) -> None:
    first = start_run()
    wait_until_half_way(tmp_path, first)
    os.kill(first.pid, signal.SIGINT)
    output, _ = first.communicate(timeout=DEADLINE)
    assert first.returncode == 128 + signal.SIGINT, output
    assert "run the same command to resume" in output
    assert worker_pids(tmp_path) == []
    rows = progress(tmp_path)
    assert sum(row.running for row in rows) == 0
    queued = sum(row.waiting for row in rows)
    assert finished_trials(tmp_path) < 2 * TRIALS

    again = start_run(workers=1, python=preloaded_python())
    output, _ = again.communicate(timeout=DEADLINE)
    assert again.returncode == 0, output
    assert_complete(tmp_path, queued)
