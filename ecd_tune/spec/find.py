"""Find study files by name: those that ship with the package, and the user's own."""

from __future__ import annotations

from pathlib import Path

import ecd_tune
from ecd_tune.errors import SpecError, UnknownNameError

__all__ = ["examples_folder", "find_study", "shipped_studies", "studies_folder"]


def studies_folder() -> Path:
    """Return the folder of the shipped study files."""
    return _shipped("studies")


def examples_folder() -> Path:
    """Return the folder of the shipped examples."""
    return _shipped("examples")


def _shipped(name: str) -> Path:
    package = Path(ecd_tune.__file__).parent
    # In a wheel the files are in the package; in a checkout at the project's root.
    installed, checkout = package / name, package.parent / name
    return installed if installed.is_dir() else checkout


def shipped_studies() -> dict[str, Path]:
    """Return the shipped study files by name, sorted; the name is the file's stem.

    A file whose name begins with ``_`` is no study: others extend it.
    """
    found = studies_folder().rglob("*.toml")
    files = (path for path in found if not path.stem.startswith("_"))
    return {path.stem: path for path in sorted(files, key=lambda p: p.stem)}


def find_study(name: str) -> Path:
    """Find a study file by the name of a shipped study or by path.

    Args:
        name: ``"zakharov"``, or a path that ends in ``.toml``.

    Returns:
        The file's path; for a path, whether it exists is found out when it is read.

    Raises:
        UnknownNameError: Not a path, and no shipped study of that name.
        SpecError: It is a Python file.
    """
    if name.endswith(".toml"):
        return Path(name)
    if name.endswith(".py"):
        raise SpecError(f"{name}: is a Python file; name the task in it, {name}:NAME")
    shipped = shipped_studies()
    if name not in shipped:
        raise UnknownNameError("study", name, shipped)
    return shipped[name]
