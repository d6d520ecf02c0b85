"""Fetch one file over HTTP with pooch: checked, and at its place only when it is whole."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from ecd_tune.errors import TaskError
from ecd_tune.tasks.data_sets import Download

__all__ = ["Progress", "fetch"]

Progress = Callable[[int, int | None], None]
"""Callback with the number of received bytes, and of all bytes if known."""

_CHUNK = 1 << 18
_TIMEOUT = 60  # seconds without a byte


@dataclass
class _Bar:
    """Progress-bar interface of pooch for a callback.

    Attributes:
        show: The function.
        total: Set by pooch; 0 if unknown.
        count: Bytes so far.
    """

    show: Progress
    total: int = 0
    count: int = 0

    def update(self, count: int) -> None:
        self.count = min(self.count + count, self.total or self.count + count)
        self.show(self.count, self.total or None)

    def reset(self) -> None:
        self.count = 0

    def close(self) -> None:
        pass


def fetch(download: Download, root: Path, progress: Progress) -> tuple[Path, str]:
    """Download a file.

    Args:
        download: Where from and where to, and its digest.
        root: The data root.
        progress: Called after each piece.

    Returns:
        The file, or the folder that it was unpacked to, and the SHA-256 of the download.

    Raises:
        TaskError: No connection, or it broke off; another digest; or the file cannot be
            written. Nothing is left behind then.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")  # the command prints its own messages
    target = root / (download.unpack or download.file)
    known = download.digest or None
    downloader = pooch.HTTPDownloader(
        progressbar=_Bar(progress), chunk_size=_CHUNK, timeout=_TIMEOUT
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # On the file system of the target, so that the last step is one rename.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
            part = pooch.retrieve(download.url, known, "part", folder, downloader=downloader)
            sha256 = pooch.file_hash(part)
            if download.unpack:
                pooch.Unzip(extract_dir="unpacked")(part, "download", None)
                part = _only_folder(Path(folder) / "unpacked", download.url)
            Path(part).replace(target)
    except (OSError, ValueError, BadZipFile) as error:
        if isinstance(error, TaskError):
            raise
        raise TaskError(
            f"{download.url} could not be stored as {target}: {error}; try again, or download it "
            "manually and put it there"
        ) from error
    return target, sha256


def _only_folder(unpacked: Path, url: str) -> Path:
    inside = list(unpacked.iterdir())
    if len(inside) != 1 or not inside[0].is_dir():
        raise TaskError(f"{url} contains {len(inside)} entries instead of one folder")
    return inside[0]
