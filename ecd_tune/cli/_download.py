"""Fetch one file over HTTP: checked, and at its place only when it is whole."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from zipfile import BadZipFile, ZipFile

from ecd_tune.errors import TaskError
from ecd_tune.tasks.data_sets import Download

__all__ = ["Progress", "fetch"]

Progress = Callable[[int, int | None], None]
"""Told how many bytes have come, and how many there will be where the server says so."""

_CHUNK = 1 << 18
_PATIENCE = 60  # seconds without a byte


def fetch(download: Download, root: Path, progress: Progress) -> tuple[Path, str]:
    """Download a file.

    Args:
        download: Where from and where to, and its digest.
        root: The data root.
        progress: Called after each piece.

    Returns:
        The file, or the folder that it was unpacked to, and the SHA-256 of what was fetched.

    Raises:
        TaskError: No connection, or it broke off; another digest; or the file cannot be
            written. Nothing is left behind then.
    """
    target = root / download.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
            part = Path(folder) / target.name
            sha256 = _receive(download, part, progress)
            if download.unpack:
                target = root / download.unpack
                part = _unpack(part, Path(folder) / "unpacked")
                target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
    except (OSError, HTTPException, BadZipFile) as error:
        raise TaskError(
            f"{download.url} could not be stored as {target}: {error}; try again, or fetch it by "
            "hand and put it there"
        ) from error
    return target, sha256


def _receive(download: Download, part: Path, progress: Progress) -> str:
    kind, _, expected = (download.digest or "sha256:").partition(":")
    sha256, checked = hashlib.sha256(), hashlib.new(kind)
    with urlopen(download.url, timeout=_PATIENCE) as answer, part.open("wb") as file:
        total = _length(answer)
        count = 0
        while piece := answer.read(_CHUNK):
            file.write(piece)
            sha256.update(piece)
            checked.update(piece)
            count += len(piece)
            progress(count, total)
    # A connection that breaks off looks like the end of the file to read(n).
    if total is not None and count != total:
        raise TaskError(f"{download.url} broke off after {count} of {total} bytes; try again")
    # The digest in torchvision's file names is the beginning of the whole one.
    if not checked.hexdigest().startswith(expected):
        raise TaskError(
            f"{download.url} has {kind} {checked.hexdigest()}, and not {expected}; it was not "
            "kept: try again, and do not use it should this go on"
        )
    return sha256.hexdigest()


def _unpack(archive: Path, folder: Path) -> Path:
    with ZipFile(archive) as opened:
        opened.extractall(folder)  # leaves no path out of the folder
    inside = list(folder.iterdir())
    if len(inside) != 1 or not inside[0].is_dir():
        raise TaskError(f"{archive.name} holds {len(inside)} entries and not one folder")
    return inside[0]


def _length(answer: Any) -> int | None:
    length = answer.headers.get("Content-Length")
    return None if length is None else int(length)
