"""Checkpoints in one of Optuna's artifact stores."""

from __future__ import annotations

import io
import logging
from contextlib import closing, suppress
from typing import BinaryIO, Protocol

from optuna.artifacts.exceptions import ArtifactNotFound

from ecd_tune.worker.checkpoint_storage.base import INTERVAL, MAX_BYTES, Checkpoints
from ecd_tune.worker.checkpoint_storage.sealing import HEAD, seal, unseal

__all__ = ["ArtifactCheckpoints", "Artifacts"]

_log = logging.getLogger(__name__)


class Artifacts(Protocol):
    """The used methods of Optuna's artifact stores: folders, S3, Google Cloud Storage."""

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

    A bucket replaces an object at once or not at all. A folder of Optuna's store does not, so each
    run has two artifacts there, written in turn, each with a number and a digest: of those that
    are whole the one of the higher number counts.

    Args:
        store: For example ``optuna.artifacts.FileSystemArtifactStore(folder)``.
        prefix: Begins the names of the artifacts, for example a folder of a bucket.
        shown: The place, for the log.
        max_bytes: As in :class:`Checkpoints`.
        interval: As in :class:`Checkpoints`.
        slots: Artifacts of each run: 2, or 1 where the store replaces an artifact at once.
    """

    def __init__(
        self,
        store: Artifacts,
        max_bytes: int = MAX_BYTES,
        interval: float = INTERVAL,
        *,
        prefix: str = "",
        shown: str = "",
        slots: int = 2,
    ) -> None:
        super().__init__(max_bytes, interval)
        self._store, self._prefix, self._slots = store, prefix, slots
        self._shown = shown or type(store).__name__
        self._numbers: dict[str, int] = {}
        # Only existing artifacts: not every store accepts the removal of missing ones.
        self._parts: dict[str, set[int]] = {}

    def __repr__(self) -> str:
        return f"checkpoints in {self._shown}"

    def read(self, key: str) -> bytes | None:
        """Return the content of the newest whole artifact, or None."""
        number, data = max(self._read_part(key, slot) for slot in range(self._slots))
        self._numbers[key] = number
        return data if number else None

    def write(self, key: str, data: bytes) -> None:
        """Write over the oldest artifact."""
        if key not in self._numbers:
            self.read(key)
        number = self._numbers[key] + 1
        self._parts.setdefault(key, set()).add(number % self._slots)
        self._store.write(self._name(key, number % self._slots), io.BytesIO(seal(data, number)))
        self._numbers[key] = number

    def remove(self, key: str) -> None:
        """Remove the artifacts that were met or written here."""
        self._numbers.pop(key, None)
        for part in self._parts.pop(key, ()):
            with suppress(ArtifactNotFound):
                self._store.remove(self._name(key, part))

    def _read_part(self, key: str, part: int) -> tuple[int, bytes]:
        try:
            file = self._store.open_reader(self._name(key, part))
        except ArtifactNotFound:
            return 0, b""
        self._parts.setdefault(key, set()).add(part)
        with closing(file):  # S3's readers are no context managers in every version
            sealed = file.read(HEAD + self.max_bytes + 1)
        try:
            return unseal(sealed, self.max_bytes)
        except ValueError as error:
            _log.warning("%r: a checkpoint is skipped: %s", self, error)
            return 0, b""

    def _name(self, key: str, part: int) -> str:
        return f"{self._prefix}{key}.{part}"
