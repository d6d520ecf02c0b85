"""A user's model: scripts, workers by reference, wrong inputs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.commands import Run, run_in
from tests.preloaded import preloaded_python

TASK = """
import torch
import ecd_tune as et
from torch import nn

X = torch.linspace(-1, 1, 40).view(20, 2)

@et.task(metric="loss", direction="minimize", epochs=2)
def line(run):
    run.model(nn.Linear(2, 1))
    run.data(train=(X, X[:, :1]), val=(X, X[:, :1]), test=(X, X[:, :1]), batch_size=8)
    run.loss(lambda model, x, y: (model(x) - y).square().mean())
"""
SCRIPT = (
    TASK
    + """
if __name__ == "__main__":
    study = et.tune(line, ["adamw"], trials=3, workers=2, confirm=2)
    print("confirmed", len(study.confirmed("adamw")))
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(TASK)
    return tmp_path


def test_script_starts_workers_and_resumes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [preloaded_python(), "script.py"]
    kinds = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 150}
    first = subprocess.run(command, check=False, **kinds)
    assert first.returncode == 0, first.stderr
    assert "dry run: 3 parameters" in first.stdout
    assert "confirmed 2" in first.stdout
    again = subprocess.run(command, check=False, **kinds)
    assert again.returncode == 0, again.stderr
    assert "dry run" not in again.stdout
    assert "0/5" not in again.stdout  # nothing was run twice


def test_script_without_main_guard_is_an_error(tmp_path: Path) -> None:
    text = TASK + '\net.tune(line, ["adamw"], trials=3, workers=2, confirm=0)\n'
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run(
        [preloaded_python(), "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 1
    assert 'put the call below if __name__ == "__main__":' in done.stderr


def test_worker_needs_only_the_task_reference(folder: Path, tmp_path_factory) -> None:
    run: Run = run_in(folder)
    made = run("run", "mine.py:line", "--optimizers", "adamw", "--trials", "2", "--no-check")
    assert made.returncode == 0, made.stderr
    elsewhere = run_in(tmp_path_factory.mktemp("elsewhere"))
    url = f"sqlite:///{folder / 'ecd_tune.db'}"
    joined = elsewhere("worker", f"{folder}/mine.py:line", "--storage", url, "--trials", "3")
    assert joined.returncode == 0, joined.stderr
    assert "complete; " in joined.stderr
    best = elsewhere("best", f"{folder}/mine.py:line", "--storage", url, "--format", "python")
    assert "torch.optim.AdamW(" in best.stdout


def test_wrong_names_are_one_line(folder: Path) -> None:
    run = run_in(folder)
    for name, message in (
        ("mine.py:curve", "has no task 'curve'; known: line"),
        ("yours.py:line", "there is no such file"),
        ("mine.py:X", "is a Tensor, not a task"),
        ("no.module:line", "No module named 'no'"),
    ):
        done = run("run", name)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
