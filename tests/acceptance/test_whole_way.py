"""From a study file to a report, as a user types it."""

from __future__ import annotations

import csv
import json
import tomllib
from collections import Counter
from pathlib import Path

import optuna
import pytest


@pytest.fixture
def finished(ecd_tune, write_study, tmp_path: Path) -> Path:
    """A database with the small study finished by two workers."""
    result = ecd_tune("run", write_study(), "--workers", 2, "--out", "out")
    assert result.returncode == 0, result.stderr + result.stdout
    assert "Report after" in result.stdout
    return tmp_path


def test_the_report_is_written_in_all_formats(finished: Path) -> None:
    names = {path.name for path in (finished / "out").iterdir() if path.is_file()}
    assert {"report.md", "report.html", "report.json", "trials.csv", "confirmation.csv"} <= names
    report = json.loads((finished / "out" / "report.json").read_text())
    assert report["name"] == "small"
    with (finished / "out" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["optimizer"] for row in rows) == {"ecdsep": 20, "adam": 20}
    text = (finished / "out" / "report.md").read_text()
    assert "ECDSep" in text
    assert "Adam" in text


def test_plain_optuna_reads_the_database(finished: Path) -> None:
    url = f"sqlite:///{finished / 'ecd_tune.db'}"
    study = optuna.load_study(study_name="small/ecdsep", storage=url)
    assert len(study.trials) == 20
    assert all(trial.state.is_finished() for trial in study.trials)
    assert study.best_value == min(t.value for t in study.trials if t.value is not None)
    assert set(study.best_params) == {"lr", "eta", "conserve_energy"}
    confirm = optuna.load_study(study_name="small/ecdsep/confirm", storage=url)
    assert len(confirm.trials) == 8  # the best and the reference, four seeds each


def test_status_and_best_agree_with_optuna(finished: Path, ecd_tune) -> None:
    url = f"sqlite:///{finished / 'ecd_tune.db'}"
    best = optuna.load_study(study_name="small/adam", storage=url).best_trial
    rows = json.loads(ecd_tune("status", "--json").stdout)["trials"]
    (row,) = [r for r in rows if r["optimizer"] == "adam" and r["stage"] == "search"]
    assert row["best"] == pytest.approx(best.value)
    assert row["running"] == row["waiting"] == row["lost"] == 0
    assert row["complete"] + row["diverged"] + row["failed"] == 20

    study = finished / "small.toml"
    printed = ecd_tune("best", study, "--optimizer", "adam", "--format", "json")
    assert best.params["lr"] == _find(json.loads(printed.stdout), "lr")
    toml = tomllib.loads(ecd_tune("best", study, "--optimizer", "adam", "--format", "toml").stdout)
    assert best.params["lr"] == _find(toml, "lr")
    python = ecd_tune("best", study, "--optimizer", "ecdsep", "--format", "python").stdout
    compile(python, "best.py", "exec")
    assert "ECDSep(" in python
    for form in ("table", "yaml"):
        assert ecd_tune("best", study, "--format", form).returncode == 0


def test_running_again_adds_nothing_and_a_larger_budget_goes_on(finished: Path, ecd_tune) -> None:
    study = finished / "small.toml"
    assert ecd_tune("run", study, "--out", "out").returncode == 0
    rows = json.loads(ecd_tune("status", "small", "--json").stdout)["trials"]
    assert {r["complete"] + r["diverged"] + r["failed"] for r in rows} == {20, 8, 4}

    result = ecd_tune("worker", study, "--trials", 26, "--optimizers", "adam")
    assert result.returncode == 0, result.stderr
    rows = json.loads(ecd_tune("status", "small", "--json").stdout)["trials"]
    (adam,) = [r for r in rows if r["optimizer"] == "adam" and r["stage"] == "search"]
    assert adam["complete"] + adam["diverged"] + adam["failed"] == 26


def test_another_seed_is_refused_with_the_difference(finished: Path, ecd_tune) -> None:
    result = ecd_tune("run", finished / "small.toml", "--seed", 5)
    assert result.returncode == 2
    assert "seed" in result.stderr
    assert "Traceback" not in result.stderr


def _find(tree: object, name: str) -> object:
    if isinstance(tree, dict):
        if name in tree:
            return tree[name]
        for value in tree.values():
            found = _find(value, name)
            if found is not None:
                return found
    return None
