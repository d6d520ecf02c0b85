"""User code by reference."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ecd_tune.errors import SpecError, TaskError
from ecd_tune.records import Direction
from ecd_tune.references import load_reference, place_reference, reference_to, short_reference
from ecd_tune.registry import TASKS
from ecd_tune.spec import load_study

TASK = """
import ecd_tune

@ecd_tune.task(metric="accuracy", direction="maximize", epochs=7)
def net(run):
    pass

number = 3
"""
STUDY = """
name = "own"
[task]
name = "{task}"
[budget]
trials = 2
steps = 3
[optimizers.adamw.space]
lr = 0.1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task, whose modules are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "net_of_test.py").write_text(TASK)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_task_is_found_in_a_file_and_in_a_module(folder: Path) -> None:
    path = f"{folder / 'net_of_test.py'}:net"
    definition = TASKS.get(path)
    assert (definition.name, definition.steps) == ("net_of_test.py:net", 7)
    assert definition.direction is Direction.MAXIMIZE
    assert definition.confirm_metric == "test_accuracy"
    # Its folder is on the path now, as it is for a script.
    assert load_reference("net_of_test:net") is load_reference(path)


def test_a_file_is_relative_to_its_study_file(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir("/")
    (folder / "own.toml").write_text(STUDY.format(task="net_of_test.py:net"))
    spec = load_study(folder / "own.toml")
    assert spec.task.name == f"{folder}/net_of_test.py:net"
    identity = spec.identity("adamw")["task"]
    assert identity["name"] == "net_of_test.py:net"  # without the folder, as on another machine
    assert identity["direction"] == "maximize"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.py:net", r"there is no such file \(looked for \S*/nothing\.py\)$"),
        ("net_of_tests.py:net", r"no such file .*; did you mean 'net_of_test\.py'\?"),
        ("net_of_test.py:nett", r"has no task 'nett'; did you mean 'net'\? Known: net"),
        ("net_of_test.py:other", "has no task 'other'; known: net"),
        ("net_of_test.py:number", "is a int, not a task; write @ecd_tune.task"),
        ("no_such_package.module:net", "No module named 'no_such_package'"),
        ("net_of_test.py:", "is not a reference; write FILE.py:NAME"),
    ],
)
def test_missing_names_are_reported(folder: Path, name: str, message: str) -> None:
    (folder / "own.toml").write_text(STUDY.format(task=name))
    with pytest.raises(SpecError, match=message):
        load_study(folder / "own.toml")


def test_a_fault_in_the_file_names_its_line(folder: Path) -> None:
    (folder / "faulty_of_test.py").write_text("a = 1\nb = a / 0\n")
    with pytest.raises(
        TaskError, match=r"ZeroDivisionError.*faulty_of_test\.py, line 2: b = a / 0"
    ):
        load_reference(f"{folder}/faulty_of_test.py:net")


def test_the_name_of_another_module_is_refused(folder: Path) -> None:
    (folder / "json.py").write_text(TASK)
    with pytest.raises(TaskError, match="another module has that name; rename the file"):
        load_reference(f"{folder}/json.py:net")


def test_a_script_is_not_imported_twice(folder: Path) -> None:
    script = folder / "script_of_test.py"
    script.write_text(
        "from ecd_tune.references import load_reference, reference_to\n"
        "def task(): pass\n"
        "found = load_reference(reference_to(task.__module__, task.__qualname__))\n"
        "assert found is task\n"
        "print(reference_to('__main__', 'task'))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{script}:task"


def test_standard_input_has_no_file(tmp_path: Path) -> None:
    code = (
        "from ecd_tune.references import load_reference, reference_to\n"
        "def task(): pass\n"
        "assert load_reference(reference_to(task.__module__, task.__qualname__)) is task\n"
        "print(reference_to('__main__', 'task'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=code, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "__main__:task"


def test_a_module_beside_the_script_is_named_by_its_file(folder: Path) -> None:
    found = load_reference(f"{folder}/net_of_test.py:net")
    assert found.reference == f"{folder}/net_of_test.py:net"
    assert reference_to("tests.tasks.own.own_tasks", "loop") == "tests.tasks.own.own_tasks:loop"


def test_local_functions_are_refused() -> None:
    def inner() -> None:
        """Stand for a task."""

    with pytest.raises(TaskError, match="at the top level of a file"):
        reference_to(inner.__module__, inner.__qualname__)


def test_names_of_references() -> None:
    assert short_reference("/a/b/c.py:d") == "c.py:d"
    assert short_reference("a.b:d") == "a.b:d"
    assert place_reference("c.py:d", Path("studies")) == "studies/c.py:d"
    assert place_reference("/c.py:d", Path("studies")) == "/c.py:d"
    assert place_reference("a.b:d", Path("studies")) == "a.b:d"
