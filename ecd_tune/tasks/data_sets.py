"""What a data set is to ``ecd-tune data``: its files, and where they come from. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ecd_tune.tasks.data import Layout

__all__ = ["DataSet", "Download"]


@dataclass(frozen=True)
class Download:
    """One file that the data set's authors offer directly.

    Attributes:
        url: Where from.
        file: Where to, below the data root. Most tasks read archives as they are.
        digest: ``"md5:…"`` or ``"sha256:…"``, or the beginning of it; empty where the authors
            publish none.
        unpack: For a zip archive that tasks read unpacked: the folder that what lies in the
            archive's one folder goes to. The archive is not kept then.
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
        layouts: How it may lie below the data root; any one of them is enough. A file of a
            layout may be a folder here.
        licence: What is known of the terms.
        download: The file that ``ecd-tune data get`` fetches, or None: to be downloaded by hand.
    """

    name: str
    tasks: tuple[str, ...]
    layouts: tuple[Layout, ...]
    licence: str
    download: Download | None = None

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
