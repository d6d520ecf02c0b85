"""Checkpoints of runs in hand: where the next attempt finds what the last one had done.

A checkpoint is named after what is run (study, hyperparameters, seed), not after the trial or
the process: the copy of a lost trial has another number, and another worker may run it. It is
removed when a result is stored and kept when the run is lost. Nothing here ends a trial: a place
that is full, gone or closed is logged, and the run goes on without.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from optuna.artifacts.exceptions import ArtifactNotFound

from ecd_tune.objective import Slot
from ecd_tune.records import Lease

__all__ = [
    "ArtifactCheckpoints",
    "Artifacts",
    "Checkpoints",
    "FolderCheckpoints",
    "default_folder",
    "open_checkpoints",
]

_log = logging.getLogger(__name__)

_MAX_BYTES = 2 * 2**30
_INTERVAL = 60.0
_KEEP_SECONDS = 30 * 86400.0
_NAME = re.compile(r"[0-9a-f]{32}\.(checkpoint|[0-9A-Za-z_]+\.part)")
_PRIVATE = 0o700


class Checkpoints(ABC):
    """A place for checkpoints.

    Args:
        max_bytes: A larger checkpoint is neither kept nor read.
        interval: Seconds of wall time between two checkpoints of a run.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES, interval: float = _INTERVAL) -> None:
        self.max_bytes, self.interval = max_bytes, interval
        self._said: set[str] = set()
        self._present: set[str] = set()

    def slot(self, lease: Lease) -> Slot:
        """Return the place for the checkpoint of a lease's run.

        Args:
            lease: The lease; another attempt at the same run has the same place.
        """
        return _KeyedSlot(self, _key(lease))

    def discard(self, lease: Lease) -> None:
        """Remove the checkpoint of a run whose result is stored.

        Args:
            lease: The lease. Nothing is done unless its checkpoint was met here: most runs are
                too short for one, and a remote store charges for each question.
        """
        key = _key(lease)
        if key not in self._present:
            return
        self._present.discard(key)
        try:
            self.remove(key)
        except Exception as error:
            self._say("removed", error)

    def load(self, key: str) -> bytes | None:
        """Return a checkpoint, or None; what goes wrong is logged.

        Args:
            key: 32 hexadecimal digits.
        """
        try:
            data = self.read(key)
        except Exception as error:
            self._say("read", error)
            return None
        if data is None:
            return None
        self._present.add(key)
        if len(data) > self.max_bytes:
            self._say_once("a checkpoint is larger than %d bytes and not read", self.max_bytes)
            return None
        return data

    def save(self, key: str, data: bytes) -> None:
        """Keep a checkpoint in place of the last; what goes wrong is logged.

        Args:
            key: 32 hexadecimal digits.
            data: The checkpoint.
        """
        if len(data) > self.max_bytes:
            self._say_once(
                "checkpoints of %d bytes are larger than %d and not kept; the run goes on",
                len(data),
                self.max_bytes,
            )
            return
        self._present.add(key)
        try:
            self.write(key, data)
        except Exception as error:
            self._say("written", error)

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """Return what was written last, or None; may read one byte more than ``max_bytes``."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Replace what was written; a crash half-way leaves the former readable."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove what was written, if anything was."""

    def _say(self, done: str, error: Exception) -> None:
        _log.warning(
            "%r: a checkpoint could not be %s: %s: %s", self, done, type(error).__name__, error
        )

    def _say_once(self, message: str, *values: object) -> None:
        if message not in self._said:
            self._said.add(message)
            _log.warning("%r: " + message, self, *values)


class _KeyedSlot:
    """The place of one run."""

    def __init__(self, checkpoints: Checkpoints, key: str) -> None:
        self._checkpoints, self._key = checkpoints, key
        self._last = time.monotonic()

    def load(self) -> bytes | None:
        return self._checkpoints.load(self._key)

    def save(self, data: bytes) -> None:
        self._checkpoints.save(self._key, data)
        self._last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._last >= self._checkpoints.interval


class FolderCheckpoints(Checkpoints):
    """Checkpoints as files of a folder, which is made when the first one is saved.

    Files that nobody came back for are removed after 30 days.

    Args:
        folder: The folder; where workers run on several machines, one that all of them see.
        max_bytes: As in :class:`Checkpoints`.
        interval: As in :class:`Checkpoints`.
    """

    def __init__(
        self, folder: Path, max_bytes: int = _MAX_BYTES, interval: float = _INTERVAL
    ) -> None:
        super().__init__(max_bytes, interval)
        self.folder = folder
        self._ready = False

    def __repr__(self) -> str:
        return f"checkpoints in {self.folder}"

    def read(self, key: str) -> bytes | None:
        """Return the file's content, or None when there is no file."""
        try:
            with self._path(key).open("rb") as file:
                return file.read(self.max_bytes + 1)
        except FileNotFoundError:
            return None

    def write(self, key: str, data: bytes) -> None:
        """Write a file beside it, see it onto the disk, and give it the name."""
        if not self._ready:
            self.folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
            self._tidy()
            self._ready = True
        descriptor, name = tempfile.mkstemp(".part", f"{key}.", self.folder)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
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
                old = time.time() - path.stat().st_mtime > _KEEP_SECONDS
                if old and _NAME.fullmatch(path.name):
                    path.unlink()


class Artifacts(Protocol):
    """What is used of Optuna's artifact stores: local folders, S3, Google's storage."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Open an artifact to read; raises ``ArtifactNotFound``."""
        ...

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Write an artifact."""
        ...

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact; may raise ``ArtifactNotFound``."""
        ...


class ArtifactCheckpoints(Checkpoints):
    """Checkpoints in one of Optuna's artifact stores.

    Not all of those replace an artifact at once. So each run has two, written in turn, each
    with a number and a digest: of those that are whole the one of the higher number counts.

    Args:
        store: For example ``optuna.artifacts.FileSystemArtifactStore(folder)``.
        max_bytes: As in :class:`Checkpoints`.
        interval: As in :class:`Checkpoints`.
    """

    def __init__(
        self, store: Artifacts, max_bytes: int = _MAX_BYTES, interval: float = _INTERVAL
    ) -> None:
        super().__init__(max_bytes, interval)
        self._store = store
        self._numbers: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"checkpoints in {type(self._store).__name__}"

    def read(self, key: str) -> bytes | None:
        """Return the content of the newer whole artifact of the two, or None."""
        number, data = max(self._read_part(key, 0), self._read_part(key, 1))
        self._numbers[key] = number
        return data if number else None

    def write(self, key: str, data: bytes) -> None:
        """Write over the older artifact of the two."""
        if key not in self._numbers:
            self.read(key)
        number = self._numbers[key] + 1
        self._store.write(_part(key, number % 2), io.BytesIO(_seal(number, data)))
        self._numbers[key] = number

    def remove(self, key: str) -> None:
        """Remove both artifacts."""
        self._numbers.pop(key, None)
        for part in range(2):
            with suppress(ArtifactNotFound):
                self._store.remove(_part(key, part))

    def _read_part(self, key: str, part: int) -> tuple[int, bytes]:
        try:
            with self._store.open_reader(_part(key, part)) as file:
                return _unseal(file.read(_HEAD + self.max_bytes + 1))
        except ArtifactNotFound:
            return 0, b""


_COUNTER = 8
_HEAD = _COUNTER + hashlib.sha256().digest_size


def _part(key: str, part: int) -> str:
    return f"{key}.{part}"


def _seal(number: int, data: bytes) -> bytes:
    counter = number.to_bytes(_COUNTER)
    return counter + hashlib.sha256(counter + data).digest() + data


def _unseal(sealed: bytes) -> tuple[int, bytes]:
    counter, digest, data = sealed[:_COUNTER], sealed[_COUNTER:_HEAD], sealed[_HEAD:]
    if hashlib.sha256(counter + data).digest() != digest:
        return 0, b""
    return int.from_bytes(counter), data


def default_folder() -> Path:
    """Return ``$XDG_STATE_HOME/ecd_tune/checkpoints``, by default below ``~/.local/state``.

    Not the cache, which may be emptied while a run waits for its next attempt; and home folders
    are often the one place that all machines of a cluster see.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "ecd_tune" / "checkpoints"


def open_checkpoints(place: str | None) -> Checkpoints | None:
    """Return the checkpoints that a command line names.

    Args:
        place: A folder; ``none`` for no checkpoints; None or empty for :func:`default_folder`.

    Returns:
        The checkpoints, or None.
    """
    if place == "none":
        return None
    return FolderCheckpoints(Path(place) if place else default_folder())


def _key(lease: Lease) -> str:
    request = lease.request
    run = [lease.key.name, request.stage, dict(request.params), request.seed]
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:32]
