"""The data and code of a trial."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ecd_tune.analysis.same_run import compare_origins
from ecd_tune.objective.origin import _commit_of
from ecd_tune.records import Origin


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is committed."""
    path = tmp_path / "task.py"
    path.write_text("1")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "task.py")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "one")
    _commit_of.cache_clear()
    return path


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_a_commit_is_that_of_the_file_s_repository(file: Path) -> None:
    commit = git(file.parent, "rev-parse", "HEAD")
    assert _commit_of(str(file)) == commit[:12]
    _commit_of.cache_clear()
    file.write_text("2")
    assert _commit_of(str(file)) == f"{commit[:12]}-dirty"


def test_a_file_that_git_does_not_know_has_no_commit(file: Path) -> None:
    other = file.with_name("other.py")
    other.write_text("1")
    assert _commit_of(str(other)) == ""
    assert _commit_of("/nowhere/task.py") == ""


def test_hooks_locks_and_odd_names_are_ignored(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, index = git(file.parent, "rev-parse", "HEAD"), file.parent / ".git" / "index"
    os.utime(file, ns=(1, 1))  # of which git would write a note into its index
    before = index.read_bytes()
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert _commit_of(str(file)) == commit[:12]
    assert index.read_bytes() == before
    other = file.with_name("circle")
    other.symlink_to(other)
    assert _commit_of(str(other / "task.py")) == ""
    strange = file.with_name(os.fsdecode(b"\xff.py"))
    strange.write_text("1")
    monkeypatch.delenv("GIT_DIR")
    git(file.parent, "config", "core.quotePath", "false")
    git(file.parent, "add", "--all", "--", strange.name)
    assert _commit_of(str(strange)).endswith("-dirty")


def test_differences_are_described() -> None:
    then = Origin("aaaa", "1.0", "c0ffee", "f1")
    assert compare_origins(then, then) == [
        "data: the same (digest aaaa)",
        "code: the same (ecd_tune 1.0, commit c0ffee)",
    ]
    data, code = compare_origins(then, Origin("bbbb", "1.0", "", "f2"))
    assert data.startswith("data: DIFFERENT: the trial saw data of digest aaaa, here it is bbbb")
    assert code == (
        "code: DIFFERENT: commit c0ffee then, unknown now; "
        "source of the task's function f1 then, f2 now"
    )
    assert compare_origins(None, then)[0].startswith("data and code: not recorded")
    assert compare_origins(Origin(), Origin())[0].startswith("data: no digest")
