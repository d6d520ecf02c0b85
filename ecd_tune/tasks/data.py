"""Find the data files of a task, or list the missing ones.

Nothing is ever downloaded. The data root is the folder that the environment variable
``ECD_TUNE_DATA`` names; if it is not set or empty, ``shared/data`` next to the checkout is used if
it exists.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecd_tune.errors import TaskError

__all__ = ["ROOT_VARIABLE", "Layout", "cache_root", "data_root", "describe_root", "find_layout"]

ROOT_VARIABLE = "ECD_TUNE_DATA"
"""Environment variable that names the data root."""


@dataclass(frozen=True)
class Layout:
    """One possible layout of a task's data under the data root.

    Attributes:
        name: Name of the layout, for example ``"official"``.
        files: Paths relative to the root; all of them are needed.
        source: Where they come from, in words.
        optional: More files of this layout, used if present; a folder means all its files.
    """

    name: str
    files: tuple[str, ...]
    source: str
    optional: tuple[str, ...] = ()

    def missing(self, root: Path) -> list[str]:
        """Return those of ``files`` that are not under ``root``."""
        return [name for name in self.files if not (root / name).is_file()]


def data_root() -> Path | None:
    """Return the data root.

    Returns:
        An absolute path, which need not exist where the variable is set; None if the variable is
        not set, or empty, and there is no ``shared/data`` next to the checkout.
    """
    if given := os.environ.get(ROOT_VARIABLE):
        return Path(given).expanduser().absolute()
    fallback = _checkout_data()
    return fallback if fallback.is_dir() else None


def describe_root() -> str:
    """Return the data root as text, with the reason where the variable does not name it."""
    given, root = os.environ.get(ROOT_VARIABLE), data_root()
    if given:
        return str(root)
    state = f"{ROOT_VARIABLE} is {'not set' if given is None else 'empty'}"
    return f"none: {state}" if root is None else f"{root} (next to the checkout; {state})"


def cache_root() -> Path:
    """Return the folder for what follows from data: ``ECD_TUNE_CACHE``, or in the home folder."""
    given = os.environ.get("ECD_TUNE_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "ecd_tune"


def find_layout(task: str, layouts: Sequence[Layout]) -> tuple[Layout, Path]:
    """Choose the first layout of which every file is there.

    Args:
        task: Name of the task, for the message.
        layouts: The layouts in order of preference.

    Returns:
        The layout, and the root that its paths are relative to.

    Raises:
        TaskError: No layout is complete; the message lists the files of each, and their source.
    """
    root = data_root()
    if root is not None:
        for layout in layouts:
            if not layout.missing(root):
                return layout, root
    where = f"under {root}" if root else f"anywhere: the data root is {describe_root()}"
    ways = "; or ".join(_describe(layout, root) for layout in layouts)
    raise TaskError(
        f"{task}: data not found {where}. Expected {ways}. Set {ROOT_VARIABLE} to the folder that "
        "contains these paths"
    )


def _describe(layout: Layout, root: Path | None) -> str:
    missing = layout.missing(root) if root else []
    partly = 0 < len(missing) < len(layout.files)
    lack = f", of which {', '.join(missing)} missing" if partly else ""
    return f"{', '.join(layout.files)} ({layout.source}{lack})"


def _checkout_data() -> Path:
    return Path(__file__).resolve().parents[2].parent / "shared" / "data"
