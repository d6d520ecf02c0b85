"""``ecd-tune verify`` first compares data and code with those of the trial."""

from __future__ import annotations

import json
import linecache
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecd_tune.cli.main import app

TASK = """
import torch
import ecd_tune

DATA = torch.linspace(0, 1, 8)[:, None]

@ecd_tune.task(metric="loss", direction="minimize", epochs=2)
def verified(run):
    run.model(torch.nn.Linear(1, 1))
    run.data(train=DATA, val=DATA, batch_size=4)
    run.loss(lambda model, x: (model(x) - 2 * x).square().mean())
"""
STUDY = """
name = "verified"
[task]
name = "verified_task.py:verified"
[budget]
trials = 1
steps = 2
[confirmation]
runs = 0
[optimizers.sgd.space]
lr = { low = 0.01, high = 0.02 }
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    # Python takes the bytecode of a file with the same size that was written in the same second.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path("verified_task.py").write_text(TASK)
    Path("study.toml").write_text(STUDY)
    options = ["study.toml", "--storage", "sqlite:///store.db"]
    call(["worker", *options])
    return options


def call(arguments: list[str], status: int = 0) -> str:
    sys.modules.pop("verified_task", None)
    linecache.clearcache()
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return result.stdout


def test_differences_are_listed(study: list[str]) -> None:
    name, *storage = study
    same = call(["verify", name, "0", *storage]).splitlines()
    assert same[0].startswith("data: the same (digest ")
    assert same[1].startswith("code: the same (ecd_tune ")
    assert "numbers are identical" in same[2]
    assert call(["replay", name, "--verify", "0", *storage]).splitlines() == same
    Path("verified_task.py").write_text(TASK.replace("linspace(0, 1", "linspace(0, 2"))
    data, code, *_ = call(["verify", name, "0", *storage], status=1).splitlines()
    assert data.startswith("data: DIFFERENT: the trial saw data of digest ")
    assert code.startswith("code: the same")
    Path("verified_task.py").write_text(TASK.replace("2 * x", "(x + x)"))
    data, code, *_ = call(["verify", name, "0", *storage]).splitlines()
    assert data.startswith("data: the same")
    assert "source of the task's function" in code
    found = json.loads(call(["verify", name, "0", *storage, "--json"]))["origin"]
    assert found["stored"]["data"] == found["again"]["data"] != ""
    assert found["stored"]["function"] != found["again"]["function"]


def test_it_names_how_a_trial_ended(study: list[str]) -> None:
    name, *storage = study
    Path("verified_task.py").write_text(TASK.replace("2 * x", "missing"))
    _, _, end, *_ = call(["verify", name, "0", *storage], status=1).splitlines()
    assert "ended then: complete, now: exception; " in end
    assert end.endswith(" numbers differ; some are missing or not finite")
    ended = json.loads(call(["verify", name, "0", *storage, "--json"], status=1))["ended"]
    assert ended == {"stored": "complete", "again": "exception"}
