"""The data and the code of the trials of this process."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ecd_tune.records import Origin, Scalar
from ecd_tune.tasks.data_digest import DIGITS, data_digest

__all__ = ["find_origin", "own_version"]

_PACKAGE = Path(__file__).parents[1] / "__init__.py"
_SECONDS = 10.0


def find_origin(task: Any, name: str, options: Mapping[str, Scalar]) -> Origin:
    """Return the data and the code of a task in this process.

    Args:
        task: The task; a user task has ``source()``.
        name: Its registry name, or a reference.
        options: Options that the study sets.

    Returns:
        Digests and versions.
    """
    own = getattr(task, "source", None)
    file, source = own() if own is not None else (str(_PACKAGE), "")
    return Origin(
        data=data_digest(task, name, options),
        version=own_version(),
        commit=_commit_of(file) if file else "",
        function=hashlib.sha256(source.encode()).hexdigest()[:DIGITS] if source else "",
    )


def own_version() -> str:
    """Return the version of ecd_tune."""
    try:
        return version("ecd_tune")
    except PackageNotFoundError:  # run from source, not installed
        return "unknown"


@lru_cache
def _commit_of(file: str) -> str:
    """Return the commit of the repository that tracks a file; empty without one."""
    folder = Path(file).resolve().parent
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return ""
    tracked = _git(folder, "ls-files", "--error-unmatch", Path(file).name)
    describe = ("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    return _git(folder, *describe) if tracked else ""


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
