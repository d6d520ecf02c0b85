"""From a study file to a report, with the commands of a user."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import optuna
import pytest

from ecd_tune.records import Stage
from ecd_tune.store import Store
from tests.acceptance.commands import Run, run_in


@pytest.fixture
def reading(finished: Path) -> Run:
    """Run a command that only reads in the folder that all tests share."""
    return run_in(finished)


@pytest.fixture
def going_on(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, to continue with."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
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


def test_status_and_best_agree_with_optuna(finished: Path, reading: Run) -> None:
    url = f"sqlite:///{finished / 'ecd_tune.db'}"
    best = optuna.load_study(study_name="small/adam", storage=url).best_trial
    rows = json.loads(reading("status", "--json").stdout)["trials"]
    (row,) = [r for r in rows if r["optimizer"] == "adam" and r["stage"] == "search"]
    assert row["best"] == pytest.approx(best.value)
    assert row["running"] == row["waiting"] == row["lost"] == 0
    assert row["complete"] + row["diverged"] + row["failed"] == 20

    # All formats are read back in tests/report; here, that the command prints them.
    study = finished / "small.toml"
    toml = tomllib.loads(reading("best", study, "--optimizer", "adam", "--format", "toml").stdout)
    assert best.params["lr"] == _find(toml, "lr")
    python = reading("best", study, "--optimizer", "ecdsep", "--format", "python").stdout
    compile(python, "best.py", "exec")
    assert "ECDSep(" in python
    table = reading("best", study)
    assert table.returncode == 0, table.stderr
    assert "adam" in table.stdout.lower()


def test_rerun_adds_nothing_and_a_larger_budget_continues(going_on: Path, ecd_tune) -> None:
    study = going_on / "small.toml"
    assert ecd_tune("run", study, "--out", "out").returncode == 0
    assert set(_finished_trials(going_on)) == {20, 8, 4}

    result = ecd_tune("worker", study, "--trials", 26, "--optimizers", "adam")
    assert result.returncode == 0, result.stderr
    assert _finished_trials(going_on, "adam", Stage.SEARCH) == [26]


def _finished_trials(folder: Path, *key: str) -> list[int]:
    with Store.open(f"sqlite:///{folder / 'ecd_tune.db'}") as store:
        rows = store.progress("small")
    return [row.finished for row in rows if not key or (row.key.optimizer, row.key.stage) == key]


def test_another_seed_is_refused_with_the_difference(finished: Path, reading: Run) -> None:
    before = (finished / "ecd_tune.db").read_bytes()
    result = reading("run", finished / "small.toml", "--seed", 5)
    assert result.returncode == 2
    assert "seed" in result.stderr
    assert "Traceback" not in result.stderr
    assert (finished / "ecd_tune.db").read_bytes() == before


def _find(tree: object, name: str) -> object:
    if isinstance(tree, dict):
        if name in tree:
            return tree[name]
        for value in tree.values():
            found = _find(value, name)
            if found is not None:
                return found
    return None
