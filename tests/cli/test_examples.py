"""The example below each command's help runs, in the order of a first day."""

from __future__ import annotations

import shlex

import pytest
import typer
from typer.testing import CliRunner

from ecd_tune.cli.examples import EXAMPLES
from ecd_tune.cli.main import app
from ecd_tune.spec import find_study, load_study
from ecd_tune.store import Store

RUNNER = CliRunner()
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SERVES = ("dashboard",)
"""Do not end by themselves; started in tests of their own."""
MORE_PROCESSES = ("launch", "worker")
"""What they do is left: the study is complete when they come."""
FIRST = ("run", "validate")
LONGER = ("replay",)
"""Need more trials than these; tested elsewhere."""
LATER = [name for name in EXAMPLES if name not in (*SERVES, *FIRST, *LONGER)]


def call(line: str) -> str:
    program, *arguments = shlex.split(line)
    assert program == "ecd-tune"
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def test_every_command_shows_its_example() -> None:
    plain = {name for name, command in COMMANDS.items() if not hasattr(command, "commands")}
    assert plain == set(EXAMPLES)
    for name, line in EXAMPLES.items():
        assert line.split()[1] == name
        assert line in COMMANDS[name].epilog


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the study of the examples has run."""
    folder = tmp_path_factory.mktemp("first-day")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("ECD_TUNE_STORAGE", raising=False)
        call(EXAMPLES["run"].replace("--trials 20", "--trials 2"))
        with Store.open("sqlite:///ecd_tune.db") as store:  # to compare with; no trial yet
            store.create(load_study(find_study("ackley")))
        yield folder


@pytest.mark.parametrize("name", LATER)
def test_it_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    line = EXAMPLES[name]
    if name in MORE_PROCESSES:
        line = line.replace("--trials 20", "--trials 2")
    assert call(line) or name in ("worker",)


def test_validate_takes_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = shlex.split(EXAMPLES["validate"])[-1]
    (tmp_path / name).write_text(
        'name = "mine"\n[task]\nname = "digits"\n[budget]\ntrials = 1\nsteps = 1\n'
        "[optimizers.sgd.space]\nlr = 0.1\n"
    )
    assert "valid" in call(EXAMPLES["validate"])


def test_the_exit_statuses_are_told() -> None:
    assert "Exit status: 0 success" in " ".join(call("ecd-tune --help").split())


@pytest.mark.parametrize("spelling", ["--optimizer", "--optimizers"])
@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if n in ("run", "best", "report")])
def test_both_spellings_are_taken(name, spelling) -> None:
    known = [option for parameter in COMMANDS[name].params for option in parameter.opts]
    assert spelling in known


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_completion(shell, monkeypatch) -> None:
    monkeypatch.setenv("_ECD_TUNE_COMPLETE", f"source_{shell}")
    result = RUNNER.invoke(app, [], prog_name="ecd-tune")
    assert "ecd-tune" in result.output
