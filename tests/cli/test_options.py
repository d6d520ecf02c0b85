"""How the command line finds a study, and completes its name."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.cli.options import complete_study, resolve_study
from ecd_tune.errors import SpecError, UnknownNameError
from ecd_tune.store import Store

TASK = """
import ecd_tune

@ecd_tune.task(metric="accuracy", direction="maximize", epochs=7)
def net(run):
    pass
"""


def test_a_stored_study_of_a_user_task_is_named_by_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "net_of_options.py"
    file.write_text(TASK)
    url = f"sqlite:///{tmp_path}/x.db"
    spec = resolve_study(f"{file}:net", storage=url)
    with Store.open(url) as store:
        store.create(spec)
    with pytest.raises(SpecError, match=r"'net' .* your own task; .* here net_of_options\.py:net$"):
        resolve_study("net", storage=url)
    shown = CliRunner().invoke(app, ["status", "net_of_options.py:net", "--storage", url, "--json"])
    assert {row["study"] for row in json.loads(shown.stdout)["trials"]} == {"net"}
    with pytest.raises(UnknownNameError, match="unknown study 'nets'"):
        resolve_study("nets", storage=url)


def test_names_and_files_are_completed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("zak.toml", "zak.txt", "zakat.py", "other.toml"):
        (tmp_path / name).touch()
    assert complete_study("zak") == ["zakharov", "zak.toml", "zakat.py"]
    assert complete_study("zaka") == []  # the shell completes the file
