"""The data and the code of the trials of this process."""

from __future__ import annotations

import hashlib
import os
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
_COMMIT, _NONE = "# branch.oid ", "(initial)"
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


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
    try:
        folder = Path(file).resolve().parent
        if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
            return ""
    except (OSError, RuntimeError):  # no permission, or circular links
        return ""
    tracked = _git(folder, "ls-files", "--error-unmatch", Path(file).name)
    if not tracked:
        return ""
    # `describe --dirty` would lock the index, which its owner may be about to change.
    status = ("status", "--porcelain=v2", "--branch", "--untracked-files=no")
    shown = _git(folder, "--no-optional-locks", *status).splitlines()
    commit = next((line.split()[2] for line in shown if line.startswith(_COMMIT)), _NONE)
    if commit == _NONE:
        return ""
    changed = any(not line.startswith("#") for line in shown)
    return f"{commit[:12]}-dirty" if changed else commit[:12]


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            # A hook that starts a study has set variables that name another repository.
            env={name: value for name, value in os.environ.items() if name not in _OF_HOOKS},
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
