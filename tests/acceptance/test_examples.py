"""The examples run: scripts with short searches, a notebook, and a package that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.commands import SHORT, run_in
from tests.pages import ROOT
from tests.preloaded import preloaded_python

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.timeout(3600)  # half a minute of processor time, on a busy machine
DDP = "ddp.py"
NEEDS = {"lightning_trainer.py": "lightning", "transformers_trainer.py": "transformers"}
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != DDP)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples."""
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    return tmp_path


def run_python(folder: Path, *arguments: str, python: str = "") -> str:
    done = subprocess.run(
        [python or preloaded_python(), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(name: str, folder: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason="needs the extra dev-integrations")
    assert "optimizer = ECDSep(" in run_python(folder, "-c", SHORT, name)
    assert (folder / "out" / "report.tex").is_file()


def test_two_processes_train_with_the_best_hyperparameters(folder: Path) -> None:
    # As it stands: the processes that it starts import the script.
    told = run_python(folder, DDP, python=sys.executable)
    found = re.search(r"^test accuracy, 2 processes: (\d\.\d+)$", told, re.MULTILINE)
    assert found is not None, told
    assert float(found[1]) > 0.8  # ten classes: 0.1 by guessing


def test_the_notebook_runs(folder: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs the extra dev-integrations")
    nbformat = pytest.importorskip("nbformat", reason="needs the extra dev-integrations")
    notebook = nbformat.read(folder / "notebook.ipynb", 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without results
    where = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=None, resources=where).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    texts = "".join(out.get("text", "") + str(out.get("data", "")) for out in outputs)
    assert re.search(r"100%.* (\d+)/\1 ", texts)  # of the bar
    assert "optimizer = ECDSep(" in texts
    assert "<Markdown" in texts or "text/markdown" in texts


def test_a_package_adds_a_task_and_an_optimizer(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hatchling", reason="needs the extra dev")
    site = tmp_path_factory.mktemp("site")
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--target", str(site)]
    run_python(folder, "-m", "pip", "install", *options, "./plugin", python=sys.executable)
    monkeypatch.setenv("PYTHONPATH", f"{site}:{os.environ.get('PYTHONPATH', '')}")
    ecd_tune = run_in(folder)
    assert "moons" in ecd_tune("tasks").stdout
    done = ecd_tune("run", "plugin/study.toml", "--trials", "2")
    assert done.returncode == 0, done.stderr
    best = ecd_tune("best", "plugin/study.toml", "--optimizer", "rprop")
    assert best.returncode == 0, best.stderr
    assert "lr" in best.stdout
