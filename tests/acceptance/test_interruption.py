"""Kill it, stop it, run it again: the study ends with exactly its budget."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

TRIALS = 60


@pytest.fixture
def start_run(tmp_path: Path, write_study):
    """Start a run that takes some seconds, in a process group of its own."""
    study = write_study(trials=TRIALS, steps=4000)
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "ecd_tune", "run", str(study), "--workers", "2"],
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


def finished_trials(folder: Path) -> int:
    path = folder / "ecd_tune.db"
    if not path.exists():
        return 0
    result = subprocess.run(
        [sys.executable, "-m", "ecd_tune", "status", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    rows = json.loads(result.stdout)["trials"] if result.stdout else []
    return sum(r["complete"] for r in rows if r["stage"] == "search")


def wait_until_half_way(folder: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while finished_trials(folder) < 10:
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.1)


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


def assert_complete(folder: Path) -> None:
    url = f"sqlite:///{folder / 'ecd_tune.db'}"
    for optimizer in ("ecdsep", "adam"):
        trials = optuna.load_study(study_name=f"small/{optimizer}", storage=url).trials
        assert all(trial.state.is_finished() for trial in trials)
    rows = json.loads(
        subprocess.run(
            [sys.executable, "-m", "ecd_tune", "status", "--json"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )["trials"]
    for row in rows:
        goal = {"search": TRIALS, "confirm": 8 if row["optimizer"] == "ecdsep" else 4}
        done = row["complete"] + row["diverged"] + row["failed"]
        assert (row["optimizer"], done) == (row["optimizer"], goal[row["stage"]])
        assert row["running"] == row["waiting"] == 0


def test_kill_9_of_everything_half_way_then_run_again(start_run, tmp_path: Path) -> None:
    first = start_run()
    wait_until_half_way(tmp_path, first)
    workers = worker_pids(tmp_path)
    assert len(workers) == 2
    for pid in (first.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    first.communicate()
    before = finished_trials(tmp_path)
    assert before < 2 * TRIALS

    again = start_run()
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert_complete(tmp_path)


def test_ctrl_c_leaves_nothing_running_and_resumes(start_run, tmp_path: Path) -> None:
    first = start_run()
    wait_until_half_way(tmp_path, first)
    os.kill(first.pid, signal.SIGINT)
    output, _ = first.communicate(timeout=30)
    assert first.returncode == 128 + signal.SIGINT, output
    assert "goes on where it stopped" in output
    assert worker_pids(tmp_path) == []
    url = f"sqlite:///{tmp_path / 'ecd_tune.db'}"
    for optimizer in ("ecdsep", "adam"):
        trials = optuna.load_study(study_name=f"small/{optimizer}", storage=url).trials
        assert not [t for t in trials if t.state == optuna.trial.TrialState.RUNNING]

    again = start_run()
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert_complete(tmp_path)
