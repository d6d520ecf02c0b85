"""A data set of ``ecd-tune data``: its files and sources. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecd_tune.records import Scalar
from ecd_tune.tasks.data import Layout

__all__ = ["DataSet", "Download"]


@dataclass(frozen=True)
class Download:
    """One file that the data set's authors offer directly.

    Attributes:
        url: Where from.
        file: Where to, below the data root. Most tasks read archives as they are.
        digest: ``"md5:…"`` or ``"sha256:…"``; empty where the authors publish none.
        unpack: For a zip archive that tasks read unpacked: the folder to which the archive's single
            folder is moved. The archive is not kept then.
    """

    url: str
    file: str
    digest: str = ""
    unpack: str = ""


@dataclass(frozen=True)
class DataSet:
    """Files that one or more tasks read.

    Attributes:
        name: As in ``ecd-tune data get NAME``.
        tasks: Names of the tasks that read it.
        layouts: Possible layouts below the data root; any of them is sufficient. A file of a layout
            may be a folder here.
        licence: The known terms.
        downloads: The files that ``ecd-tune data get`` fetches; empty: must be downloaded manually.
        only_if: Option of the task to the values with which it reads this set; none: always.
    """

    name: str
    tasks: tuple[str, ...]
    layouts: tuple[Layout, ...]
    licence: str
    downloads: tuple[Download, ...] = ()
    only_if: Mapping[str, Collection[Scalar]] = field(default_factory=dict)

    def found(self, root: Path | None) -> Layout | None:
        """Return the first layout that is there in full, or None.

        Args:
            root: The data root; None: there is none.
        """
        if root is None:
            return None
        for layout in self.layouts:
            if all((root / file).exists() for file in layout.files):
                return layout
        return None

    def needed_by(self, task: str, options: Mapping[str, Scalar]) -> bool:
        """Return whether a task reads this data set.

        Args:
            task: Registry name.
            options: All options of the task, defaults included.
        """
        return task in self.tasks and all(options[k] in v for k, v in self.only_if.items())
