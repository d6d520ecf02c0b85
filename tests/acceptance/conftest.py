from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ecd_tune.cli.main import main
from tests.acceptance.commands import Result, Run, run_in, write_study_file


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    return partial(write_study_file, tmp_path)


@pytest.fixture
def ecd_tune(tmp_path: Path) -> Run:
    return run_in(tmp_path)


@pytest.fixture
def ecd_tune_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Run:
    """The same within this process, which is sooner than a new one can import anything."""

    def run(*arguments: object) -> Result:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ecd-tune", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return subprocess.CompletedProcess(sys.argv, left.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small study finished by two workers, to be read only."""
    folder = tmp_path_factory.mktemp("finished")
    result = run_in(folder)("run", write_study_file(folder), "--workers", 2, "--out", "out")
    assert result.returncode == 0, result.stderr + result.stdout
    assert "Report after" in result.stdout
    return folder
