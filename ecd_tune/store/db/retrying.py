"""Tell a database that is away from a mistake, and wait for it to come back.

A whole call of the store is made again, never a part of a transaction. This is safe because a
repeated ask or claim first looks for the leases of its first attempt, and a tell recognises its own
results.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError

from ecd_tune.errors import StorageUnavailableError

__all__ = ["RETRY_SECONDS", "OutageError", "RetryPolicy", "Stop", "is_outage"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

RETRY_SECONDS = 3600.0
"""How long a call waits for an unavailable database, in seconds."""

_LONGEST_PAUSE = 5.0
_SAY_SECONDS = 60.0
_STOPPED_SECONDS = 10.0

# Of PostgreSQL: connection lost (08), out of disk, memory or connections (53), shut down or
# starting (57), input or output failed (58), transaction to be repeated (40), read-only (25006),
# which is what a client meets that still talks to the old primary after a failover.
_CLASSES = ("08", "40", "53", "57", "58")
# A row or object that is locked for longer than a timeout, or a transaction that was idle or took
# too long.
_HELD = ("55P03", "55006", "25P03", "25P04")
_READ_ONLY = "25006"
_CANCELLED = "57014"
_NO_SUCH_FOLDER = "58P01"
# Of SQLite: busy, locked, readonly, input or output failed, full, cannot open, protocol.
_SQLITE_CODES = frozenset({5, 6, 8, 10, 13, 14, 15})


class OutageError(StorageUnavailableError):
    """The database is temporarily unavailable, full or busy: the call can be retried."""


class Stop(Protocol):
    """The stop signal of a waiting call: :class:`ecd_tune.signals.StopFlag` is one."""

    def __call__(self) -> bool:
        """Say whether to stop."""
        ...

    def wait(self, seconds: float) -> bool:
        """Sleep, but not past the moment to stop."""
        ...


def is_outage(error: DBAPIError) -> bool:
    """Say whether an error of the driver is one that passes.

    Args:
        error: As SQLAlchemy raises it.

    Returns:
        False for what will fail again however long one waits.
    """
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _SQLITE_CODES
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # psycopg could not connect, or lost the connection without a word from the server.
        return isinstance(error, OperationalError)
    if state in (_CANCELLED, _NO_SUCH_FOLDER):
        return False
    return state == _READ_ONLY or state in _HELD or state[:2] in _CLASSES


class RetryPolicy:
    """Makes calls again until they succeed, with pauses that grow and differ between processes.

    Args:
        shown: The database, for the log.
        seconds: How long one call waits.
    """

    def __init__(self, shown: str, seconds: float = RETRY_SECONDS) -> None:
        self._shown, self._seconds = shown, seconds
        self._lock = threading.Lock()
        self._away_since: float | None = None
        self._said = 0.0
        self.stop: Stop | None = None

    def call(self, action: Callable[[bool], _T]) -> _T:
        """Make a call until it succeeds.

        Args:
            action: Given False the first time and True when it may have succeeded without an
                answer.

        Returns:
            Its result.

        Raises:
            OutageError: The database was unavailable for too long, or for ten seconds after a stop
                signal.
        """
        began, again, pauses = time.monotonic(), False, _pauses()
        while True:
            try:
                result = action(again)
            except OutageError as error:
                pause, stopped = next(pauses), self.stop is not None and self.stop()
                self._note(error, aloud=pause > 0.0)
                limit = min(self._seconds, _STOPPED_SECONDS) if stopped else self._seconds
                if time.monotonic() - began + pause > limit:
                    raise
                self._pause(pause, stopped)
                again = True
            else:
                self._note_success()
                return result

    def _pause(self, seconds: float, stopped: bool) -> None:
        if self.stop is None or stopped:
            time.sleep(seconds)
        else:
            self.stop.wait(seconds)

    def _note(self, error: OutageError, *, aloud: bool) -> None:
        if not aloud:
            return
        with self._lock:
            now = time.monotonic()
            if self._away_since is None:
                self._away_since, self._said = now, now
                _log.warning("%s; retrying, work continues meanwhile", error)
            elif now - self._said >= _SAY_SECONDS:
                self._said = now
                _log.warning("%s; unavailable for %.0f s, retrying", error, now - self._away_since)

    def _note_success(self) -> None:
        if self._away_since is None:
            return
        with self._lock:
            since, self._away_since = self._away_since, None
        if since is not None:
            gone = time.monotonic() - since
            _log.warning("storage %s: available again after %.1f s", self._shown, gone)


def _pauses() -> Iterator[float]:
    """Yield no pause first, for a stale connection, then increasing pauses with jitter."""
    yield 0.0
    ceiling = 0.1
    while True:
        yield random.uniform(0.5, 1.0) * ceiling
        ceiling = min(2.0 * ceiling, _LONGEST_PAUSE)
