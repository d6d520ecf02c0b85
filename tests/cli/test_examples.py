"""The example below each command's help runs, in the order of a first day."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ecd_tune.cli.examples import EXAMPLES
from ecd_tune.cli.main import app
from ecd_tune.spec import find_study, load_study
from ecd_tune.store import Store
from ecd_tune.tasks.needed_data import DATA_SETS
from tests.preloaded import preloaded_python

RUNNER = CliRunner()


def walk(commands, before=""):
    """Yield each command with its whole name, those of groups too."""
    for name, command in commands.items():
        below = getattr(command, "commands", {})
        if not below or command.invoke_without_command:
            yield f"{before}{name}", command
        yield from walk(below, f"{before}{name} ")


COMMANDS = dict(walk(typer.main.get_command(app).commands))  # type: ignore[attr-defined]
READING = (
    *("status", "best", "compare", "studies", "tasks", "show", "validate", "check", "claims"),
    *("doctor", "verify", "replay", "data", "db current", "db check"),
)
ELSEWHERE = ("status", "tasks", "check", "claims", "doctor", "replay", "data")
"""Their JSON is read in tests of their own, or in the example."""
COMPLETE = {
    "bash": """
eval "$(_ECD_TUNE_COMPLETE=source_bash ecd-tune)"
complete -p ecd-tune >&2 || exit 1
COMP_WORDS=(ecd-tune run za) COMP_CWORD=2
_ecd_tune_completion ecd-tune
printf '%s\\n' "${COMPREPLY[@]}"
""",
    "zsh": """
autoload -Uz compinit; compinit -u
eval "$(_ECD_TUNE_COMPLETE=source_zsh ecd-tune)"
_arguments() { print -r -- "$@" }
words=(ecd-tune run za) CURRENT=3
$_comps[ecd-tune]
""",
    "fish": """
_ECD_TUNE_COMPLETE=source_fish ecd-tune | source
complete -C 'ecd-tune run za'
""",
}
"""Loads the completion as its user does, and asks for what follows ``ecd-tune run za``."""
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
    assert set(COMMANDS) == set(EXAMPLES)
    for name, line in EXAMPLES.items():
        assert line.startswith(f"ecd-tune {name}")
        assert line in COMMANDS[name].epilog


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the study of the examples has run."""
    folder = tmp_path_factory.mktemp("first-day")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("ECD_TUNE_STORAGE", raising=False)
        patch.setattr(sys, "executable", preloaded_python())
        for file in DATA_SETS["cora"].layouts[0].files:  # nothing is left to download
            (folder / "data" / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / "data" / file).touch()
        call(EXAMPLES["run"].replace("--trials 20", "--trials 2"))
        with Store.open("sqlite:///ecd_tune.db") as store:  # to compare with; no trial yet
            store.create(load_study(find_study("ackley")))
        yield folder


@pytest.mark.parametrize("name", LATER)
def test_example_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ECD_TUNE_DATA", str(folder / "data"))
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


def test_exit_statuses_are_documented() -> None:
    assert "Exit status: 0 success" in " ".join(call("ecd-tune --help").split())


@pytest.mark.parametrize("spelling", ["--optimizer", "--optimizers"])
def test_both_spellings_are_accepted(spelling) -> None:
    for name, command in COMMANDS.items():
        known = {option for parameter in command.params for option in parameter.opts}
        if known & {"--optimizer", "--optimizers"}:
            assert spelling in known, name


@pytest.mark.parametrize("name", READING)
def test_reading_commands_print_json(name, folder, monkeypatch) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)
    if name in ELSEWHERE:
        return
    monkeypatch.chdir(folder)
    line = EXAMPLES[name].replace("--format python", "").replace(" 1 ", " 0 ")  # 1 is invalidated
    line = line.replace("my_study.toml", "digits")
    result = RUNNER.invoke(app, [*shlex.split(line)[1:], "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_loads_the_completion_and_completes(shell, tmp_path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "ecd-tune"
    program.write_text(f"#!{sys.executable}\nfrom ecd_tune.cli.main import main\nmain()\n")
    program.chmod(0o755)
    paths = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    result = subprocess.run(
        [shell, "-c", COMPLETE[shell]],
        env={**os.environ, **paths, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "zakharov" in result.stdout, result.stderr
    assert "digits" not in result.stdout
