"""The step is compiled if there is a compiler; otherwise the reason is reported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ecd_tune
from ecd_tune.optim.fused import compile as compiling

PACKAGE = Path(ecd_tune.__file__).parent
PROJECT = PACKAGE.parent
NO_COMPILER = all(shutil.which(name) is None for name in ("cc", "gcc", "clang"))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "ecd_tune" / "optim" / "fused"
    shutil.copytree(PACKAGE / "optim" / "fused", folder, ignore=shutil.ignore_patterns("*.so"))
    return folder


def without_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)


def test_missing_compiler_is_reported_and_old_module_removed(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_compiler(monkeypatch, tmp_path)
    (sources / compiling.NAME).write_text("older")
    assert "no C compiler" in str(compiling.compile_step(sources))
    assert not (sources / compiling.NAME).exists()


@pytest.mark.skipif(NO_COMPILER, reason="there is no C compiler")
def test_compiler_output_is_shown(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # else other parts are compiled meanwhile
    (sources / "threads.c").write_text("#error the disk is full")
    assert "the disk is full" in str(compiling.compile_step(sources))


@pytest.mark.skipif(NO_COMPILER, reason="there is no C compiler")
@pytest.mark.slow
def test_compiled_module_can_be_loaded(sources: Path) -> None:
    assert compiling.compile_step(sources) is None
    loads = (
        "import importlib.util as u; s = u.spec_from_file_location('_step', "
        f"{str(sources / compiling.NAME)!r}); m = u.module_from_spec(s); "
        "s.loader.exec_module(m); print(m.level)"
    )
    found = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True)
    assert found.stdout.strip() in ("v4", "v3", "base")


def hook(root: Path) -> tuple[dict[str, Any], list[str]]:
    """Run the build hook, and return what it asks of the wheel and its warnings."""
    pytest.importorskip("hatchling")
    build = {"__file__": str(PROJECT / "hatch_build.py")}
    exec((PROJECT / "hatch_build.py").read_text(), build)
    warnings: list[str] = []
    made = build["CompileStep"](str(root), {}, None, None, str(root), "wheel")
    made._BuildHookInterface__app = SimpleNamespace(display_warning=warnings.append)
    asked: dict[str, Any] = {"artifacts": []}
    made.initialize("standard", asked)
    return asked, warnings


def test_the_hook_builds_a_pure_wheel_without_a_compiler(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_compiler(monkeypatch, tmp_path)
    asked, warnings = hook(tmp_path)
    assert asked == {"artifacts": []}
    assert len(warnings) == 1
    assert "without the compiled step" in warnings[0]


@pytest.mark.skipif(NO_COMPILER, reason="there is no C compiler")
@pytest.mark.slow
def test_the_hook_puts_the_module_into_a_wheel_of_its_platform(
    sources: Path, tmp_path: Path
) -> None:
    asked, warnings = hook(tmp_path)
    assert warnings == []
    assert asked["pure_python"] is False
    assert asked["tag"].startswith("cp311-abi3-")
    assert [tmp_path / name for name in asked["artifacts"]] == [sources / compiling.NAME]
    assert (sources / compiling.NAME).exists()
