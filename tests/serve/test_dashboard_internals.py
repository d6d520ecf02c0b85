"""The private parts of optuna-dashboard exist, and are used in one place."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

SERVE = Path(__file__).parents[2] / "ecd_tune/serve"
INTERNALS = SERVE / "dashboard_internals.py"
SIGNATURES = {
    "get_plotly_graph_objects": ["system_attrs"],
    "get_study": ["storage", "study_id"],
    "serialize_distribution": ["distribution"],
    "serialize_frozen_trial": ["study_id", "trial", "study_system_attrs"],
    "serialize_study_detail": [
        "study", "best_trials", "trials", "intersection", "union", "union_user_attrs",
        "has_intermediate_values", "plotly_graph_objects", "skipped_trial_numbers",
    ],
}  # fmt: skip


def imported(file: Path) -> list[tuple[str, str]]:
    """Return module and name of everything that a file takes from optuna-dashboard."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return [
        (node.module or "", alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (node.module or "").split(".")[0] == "optuna_dashboard"
    ]


def versions() -> str:
    (text,) = re.findall(r'^VERSIONS = "(.*)"$', INTERNALS.read_text(), re.MULTILINE)
    return text


@pytest.mark.parametrize(("module", "name"), imported(INTERNALS))
def test_internal_parts_exist(module, name):
    found = version("optuna-dashboard")
    where = f"{module}.{name} of optuna-dashboard; it has moved in {found}, see {INTERNALS.name}"
    try:
        part = getattr(import_module(module), name, None)
    except ImportError:
        part = None
    assert part is not None, where
    if name in SIGNATURES:
        assert list(inspect.signature(part).parameters) == SIGNATURES[name], where


def test_listed_parts_are_used():
    names = {name for _, name in imported(INTERNALS)}
    assert names >= SIGNATURES.keys()
    for file in sorted(SERVE.parent.rglob("*.py")):
        if file != INTERNALS:
            private = [m for m, _ in imported(file) if "._" in m]
            assert not private, f"{file}: import it from {INTERNALS.name}"


def test_installed_version_is_supported():
    assert SpecifierSet(versions()).contains(version("optuna-dashboard")), (
        f"optuna-dashboard {version('optuna-dashboard')} is installed, {INTERNALS.name} fits "
        f"{versions()}: check its parts, then change both VERSIONS and pyproject.toml"
    )
    pyproject = tomllib.loads((SERVE.parents[1] / "pyproject.toml").read_text())
    assert f"optuna-dashboard{versions()}" in pyproject["project"]["dependencies"]
