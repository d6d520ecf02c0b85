"""Every documented ``ecd-tune`` command line is valid.

Whole lines (code blocks, compose services, the Makefile) are parsed as the program parses them,
and nothing is run. In running text, where arguments are left out, commands and options must exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from ecd_tune.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "storage").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "ecd_tune").rglob("README.md"),
    ]
)
SCRIPTS = [*(ROOT / "ecd_tune").rglob("*.py"), *(ROOT / "storage").glob("*.sh")]
TEXTS = [path for path in [*PAGES, *sorted(SCRIPTS)] if "ecd-tune " in path.read_text()]
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`+([^`]*?\becd-tune\s+[^`]*)`")
PROGRAM = re.compile(r"^(?:\w+=\S*\s+)*(?:\S*/)?ecd-tune(?:\s+(?P<rest>.*))?$")
WORD = re.compile(r"[a-z][a-z-]*|--[a-z][a-z-]*|-h")
COMMAND = typer.main.get_command(app)
UsageError = typer.BadParameter.__mro__[1]  # typer brings a click of its own


def parse(arguments: list[str]) -> None:
    """Parse as the program does, to the last command; run nothing."""
    command, name, parent = COMMAND, "ecd-tune", None
    try:
        while True:
            context = command.make_context(name, list(arguments), parent=parent)
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            if not hasattr(command, "commands") or not rest:
                return
            found, command, arguments = command.resolve_command(context, rest)
            name, parent = found or "", context
    except typer.Exit:
        return  # --help, --version, or nothing at all


def check_words(text: str) -> None:
    """Find commands and options by name; what stands between is for the reader to fill in."""
    command = COMMAND
    for word in text.split():
        if word.startswith("-"):
            for option in WORD.findall(word):
                known = [name for p in command.params for name in p.opts]
                assert option in [*known, "--help", "-h"], f"{command.name} has no {option}"
        elif hasattr(command, "commands") and (plain := word.strip(".,;:")).islower():
            for name in plain.split("|"):  # db upgrade|current|check
                assert name in command.commands, f"{command.name} has no command {name!r}"
            command = command.commands[plain.split("|")[0]]


def lines(text: str) -> Iterator[str]:
    """Yield the simple commands of some shell text."""
    for line in text.replace("\\\n", " ").splitlines():
        bare = re.sub(r"(^|\s)#.*$", "", line)
        for part in re.split(r"&&|\|\||[;&|]|>+\s*\S+", bare):
            if part.strip():
                yield part.strip()


def whole_lines() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for line in lines(block):
                if match := PROGRAM.match(line):
                    yield str(page.relative_to(ROOT)), match["rest"] or ""
    for line in lines((ROOT / "Makefile").read_text().replace("$(BIN)/", "").replace("$(", "(")):
        if match := PROGRAM.match(line):
            yield "Makefile", match["rest"] or ""


def compose_commands() -> Iterator[tuple[str, list[str]]]:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        if str(service.get("image", "")).startswith("ecd-tune:"):
            yield name, service["command"]


WHOLE = sorted(set(whole_lines()))


@pytest.mark.parametrize(("where", "line"), WHOLE)
def test_documented_command_lines_are_valid(where, line):
    parse(shlex.split(line))


@pytest.mark.parametrize(("service", "command"), list(compose_commands()))
def test_compose_services_use_existing_commands(service, command):
    assert all(isinstance(word, str) for word in command)
    parse(command)


def test_image_uses_existing_commands():
    (command,) = re.findall(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    parse(yaml.safe_load(command))


@pytest.mark.parametrize("file", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_running_text_exist(file):
    for code in INLINE.findall(BLOCK.sub("", file.read_text())):
        check_words(code.partition("ecd-tune")[2])


def test_the_options_that_are_listed_for_run_exist():
    table = (ROOT / "docs/first-steps.md").read_text().partition("| option of `ecd-tune run` |")[2]
    options = re.findall(r"^\| `(--[a-z-]+)", table.partition("\n\n")[0], re.MULTILINE)
    assert len(options) >= 6
    check_words("run " + " ".join(options))


class TestTheTestItself:
    def test_existing_commands_are_found(self):
        assert len(WHOLE) >= 25
        assert {name for name, _ in compose_commands()} == {
            "upgrade",
            "worker",
            "worker-gpu",
            "dashboard",
        }

    @pytest.mark.parametrize(
        "line", ["worker", "status --all", "run a --workers none", "db move", "launch a b", "fly"]
    )
    def test_invalid_arguments_are_refused(self, line):
        with pytest.raises(UsageError):
            parse(shlex.split(line))

    @pytest.mark.parametrize("text", ["fly", "worker --cores", "db move", "data put NAME"])
    def test_unknown_commands_are_detected(self, text):
        with pytest.raises(AssertionError):
            check_words(text)
