"""A module whose name begins with an underscore is imported by its own package only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ecd_tune

ROOT = Path(ecd_tune.__file__).parent


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full names of all modules, and of all names in modules, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def hidden_parts(name: str) -> Iterator[str]:
    """Yield the packages that own a module with an underscore on the way to a name."""
    parts = name.split(".")
    for at, part in enumerate(parts):
        module = ROOT.parent.joinpath(*parts[: at + 1])
        if part.startswith("_") and part != "__init__" and module.with_suffix(".py").exists():
            yield ".".join(parts[:at])


def foreign_imports(root: Path = ROOT) -> list[str]:
    """List the imports of modules with an underscore from outside their package."""
    found = []
    for path in sorted(root.rglob("*.py")):
        importer = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        for name in imports_of(path):
            for owner in hidden_parts(name):
                if owner != "ecd_tune" and not importer.startswith(f"{owner}."):
                    found.append(f"{importer} imports {name}")
    return found


def test_modules_with_an_underscore_are_imported_by_their_own_package_only() -> None:
    assert foreign_imports() == []


def test_the_rule_finds_a_hidden_module() -> None:
    """Of its owner: the folder in which it lies."""
    assert list(hidden_parts("ecd_tune.spec._table.anything")) == ["ecd_tune.spec"]
    assert list(hidden_parts("ecd_tune.spec.model.StudySpec")) == []
