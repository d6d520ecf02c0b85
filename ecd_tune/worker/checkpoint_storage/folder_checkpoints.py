"""Checkpoints as files of a folder."""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from ecd_tune.worker.checkpoint_storage.base import INTERVAL, MAX_BYTES, Checkpoints
from ecd_tune.worker.checkpoint_storage.sealing import HEAD, MARK, seal, unseal

__all__ = ["FolderCheckpoints", "default_folder"]

_KEEP_SECONDS = 30 * 86400.0
_NAME = re.compile(r"[0-9a-f]{32}\.(checkpoint|[0-9A-Za-z_]+\.part)")
_PRIVATE = 0o700


class FolderCheckpoints(Checkpoints):
    """Checkpoints as files of a folder, which is made when the first one is saved.

    Our own files are deleted after 30 days without use.

    Args:
        folder: The folder; where workers run on several machines, one that all of them see.
        max_bytes: As in :class:`Checkpoints`.
        interval: As in :class:`Checkpoints`.
    """

    def __init__(
        self, folder: Path, max_bytes: int = MAX_BYTES, interval: float = INTERVAL
    ) -> None:
        super().__init__(max_bytes, interval)
        self.folder = folder
        self._ready = False

    def __repr__(self) -> str:
        return f"checkpoints in {self.folder}"

    def read(self, key: str) -> bytes | None:
        """Return what was written, or None when there is no file; a damaged one raises."""
        try:
            with self._path(key).open("rb") as file:
                sealed = file.read(HEAD + self.max_bytes + 1)
        except FileNotFoundError:
            return None
        return unseal(sealed, self.max_bytes)[1]

    def write(self, key: str, data: bytes) -> None:
        """Write a temporary file next to it, sync it to disk, and rename it."""
        if not self._ready:
            self.folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
            self._tidy()
            self._ready = True
        descriptor, name = tempfile.mkstemp(".part", f"{key}.", self.folder)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(seal(data))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path(key))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self._sync_folder()

    def remove(self, key: str) -> None:
        """Remove the file, if there is one."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.checkpoint"

    def _sync_folder(self) -> None:
        # Until then the new name may be lost with the machine.
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _tidy(self) -> None:
        for path in self.folder.iterdir():
            with suppress(OSError):  # another worker tidies too
                if _is_ours(path) and time.time() - path.stat().st_mtime > _KEEP_SECONDS:
                    path.unlink()


def _is_ours(path: Path) -> bool:
    """Tell a file of ours by its name and its mark, which one that was cut short may lack."""
    if not _NAME.fullmatch(path.name) or not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK.startswith(file.read(len(MARK)))


def default_folder() -> Path:
    """Return ``$XDG_STATE_HOME/ecd_tune/checkpoints``, by default below ``~/.local/state``.

    Not the cache, which may be emptied while a run waits for its next attempt; and home folders
    are often the one place that all machines of a cluster see.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "ecd_tune" / "checkpoints"
