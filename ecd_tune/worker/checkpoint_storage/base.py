"""Checkpoint storage of unfinished runs, from which the next attempt resumes.

A checkpoint is named after what is run (study, hyperparameters, seed), not after the trial or the
process: the copy of a lost trial has another number, and another worker may run it. It is removed
when a result is stored and kept when the run is lost. Nothing here ends a trial: a full, missing or
unreachable storage is logged, and the run continues without checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from abc import ABC, abstractmethod

from ecd_tune.objective import CheckpointHandle
from ecd_tune.records import Lease

__all__ = ["INTERVAL", "MAX_BYTES", "Checkpoints"]

_log = logging.getLogger(__name__)

MAX_BYTES = 2 * 2**30
"""Default maximum size of a checkpoint."""

INTERVAL = 60.0
"""Default interval between two checkpoints of a run, in seconds."""


class Checkpoints(ABC):
    """A place for checkpoints.

    Args:
        max_bytes: A larger checkpoint is neither kept nor read.
        interval: Seconds of wall time between two checkpoints of a run.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, interval: float = INTERVAL) -> None:
        self.max_bytes, self.interval = max_bytes, interval
        self._said: set[str] = set()
        self._present: set[str] = set()

    def handle(self, lease: Lease) -> CheckpointHandle:
        """Return the place for the checkpoint of a lease's run.

        Args:
            lease: The lease; another attempt at the same run has the same place.
        """
        return _KeyedSlot(self, _key(lease), lease if lease.promotions else None)

    def discard(self, lease: Lease) -> None:
        """Remove the checkpoint of a run whose result is stored.

        Args:
            lease: The lease. Nothing is done unless its checkpoint was met here: most runs are
                too short for one, and a remote store charges for each question.
        """
        self.forget(_key(lease))

    def forget(self, key: str) -> None:
        """Remove a checkpoint that was met here; what goes wrong is logged.

        Args:
            key: 32 hexadecimal digits.
        """
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
            self._say_once("a checkpoint is larger than %d bytes and is ignored", self.max_bytes)
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
                "a checkpoint of %d bytes exceeds the limit of %d and is not saved; the run "
                "continues",
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
    """The place of one run.

    Args:
        checkpoints: Where it is.
        key: Its name there.
        promoted: A trial whose checkpoint must be there; None where there may be none.
    """

    def __init__(self, checkpoints: Checkpoints, key: str, promoted: Lease | None = None) -> None:
        self._checkpoints, self._key, self._promoted = checkpoints, key, promoted
        self._last = time.monotonic()

    def load(self) -> bytes | None:
        data = self._checkpoints.load(self._key)
        if data is None and self._promoted is not None:
            _log.warning(
                "%s #%d was promoted, and its checkpoint is not in %r: restarting it; all "
                "workers need checkpoint storage that each of them can access, and a complete "
                "study keeps no checkpoints for a larger budget",
                self._promoted.key.name,
                self._promoted.number,
                self._checkpoints,
            )
        return data

    def save(self, data: bytes) -> None:
        self._checkpoints.save(self._key, data)
        self._last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._last >= self._checkpoints.interval

    def part(self, name: str) -> CheckpointHandle:
        return _KeyedSlot(self._checkpoints, _digest([self._key, name]))

    def clear(self) -> None:
        self._checkpoints.forget(self._key)


def _key(lease: Lease) -> str:
    request = lease.request
    return _digest([lease.key.name, request.stage, dict(request.params), request.seed])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
