"""``ecd-tune new-study`` writes a study file for any task, and overwrites no file."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.errors import EcdTuneError, UnknownNameError
from ecd_tune.registry import TASKS
from ecd_tune.spec import load_study

OWN = """
import ecd_tune as et

@et.task(metric="loss", direction="minimize", epochs=3, title='A "line" $x')
def line(run):
    pass
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["new-study", *arguments])
    if isinstance(result.exception, EcdTuneError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("task", TASKS.names())
def test_new_study_works_for_every_task(task: str) -> None:
    told = call("my-study.toml", "--task", task)
    assert told == "my-study.toml: run it with ecd-tune run my-study.toml\n"
    spec = load_study(Path("my-study.toml"))
    assert (spec.name, spec.task.name) == ("my-study", task)
    assert list(spec.optimizers) == ["ecdsep", "adamw"]
    assert "# What `ecd-tune new-study`" not in Path("my-study.toml").read_text()


def test_user_task_is_found_relative_to_the_file(tmp_path: Path) -> None:
    Path("mine.py").write_text(OWN)
    Path("studies").mkdir()
    call("studies/line.toml", "--task", "mine.py:line")
    spec = load_study(Path("studies/line.toml"))
    assert spec.budget.steps == 3
    assert spec.title == 'ECDSep and AdamW on A "line" $x'


@pytest.mark.parametrize("name", ["study", "study.txt", "-.toml", "a b.toml"])
def test_a_name_that_is_no_study_file_is_refused(name: str) -> None:
    with pytest.raises(EcdTuneError, match=r"such as my_study\.toml"):
        call("--", name)


def test_existing_file_is_not_overwritten() -> None:
    Path("a.toml").write_text("kept")
    with pytest.raises(EcdTuneError, match="already exists"):
        call("a.toml")
    assert Path("a.toml").read_text() == "kept"


def test_a_task_that_does_not_exist_leaves_no_file() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'zakharov'"):
        call("a.toml", "--task", "zakarov")
    assert not Path("a.toml").exists()
