"""Who is logged in, and how often somebody has failed to be.

Both live in the memory of the one server process: a session ends for good at logout, and all of
them end with the server.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

__all__ = ["SESSION_SECONDS", "Sessions", "Throttle"]

SESSION_SECONDS = 12 * 3600.0
_MAX_SESSIONS = 10_000
_FREE_FAILURES = 4
_MAX_WAIT = 60.0
_MAX_ADDRESSES = 10_000


class Sessions:
    """Sessions by the digest of their key, so that the memory holds nothing to log in with.

    Args:
        clock: Seconds that only grow; injected by tests.
        seconds: How long a session lasts.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, seconds: float = SESSION_SECONDS
    ) -> None:
        self.seconds = seconds
        self._clock, self._lock = clock, Lock()
        self._known: dict[bytes, tuple[str, float]] = {}

    def start(self, user: str) -> str:
        """Begin a session and return its key, 256 random bits as text."""
        key = secrets.token_urlsafe(32)
        with self._lock:
            now = self._clock()
            # All last equally long, so that the first to begin is the first to end.
            while self._known:
                first = next(iter(self._known))
                if self._known[first][1] > now and len(self._known) < _MAX_SESSIONS:
                    break
                del self._known[first]
            self._known[_digest(key)] = (user, now + self.seconds)
        return key

    def find(self, key: str) -> str | None:
        """Return the user of a session that has not ended, or None."""
        with self._lock:
            user, end = self._known.get(_digest(key), (None, 0.0))
            return user if end > self._clock() else None

    def end(self, key: str) -> None:
        """End a session, if there is one of this key."""
        with self._lock:
            self._known.pop(_digest(key), None)


@dataclass
class _Failures:
    count: int
    until: float


class Throttle:
    """Slow down whoever fails: after four failures 1, 2, 4 ... 60 s until the next try.

    An attempt counts as a failure from its beginning, or a hundred at once would all be let in.

    Args:
        clock: Seconds that only grow; injected by tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._failures: dict[str, _Failures] = {}

    def admit(self, address: str) -> float:
        """Let an attempt in and count it as failed, or return the seconds to wait first."""
        with self._lock:
            now = self._clock()
            known = self._failures.pop(address, None) or _Failures(0, now)
            if known.until <= now:
                known.count += 1
                late = known.count - _FREE_FAILURES
                known.until = now + (min(2.0 ** (late - 1), _MAX_WAIT) if late > 0 else 0.0)
                wait = 0.0
            else:
                wait = known.until - now
            # Put at the end: the address that has been quiet for longest is forgotten first.
            self._failures[address] = known
            while len(self._failures) > _MAX_ADDRESSES:
                del self._failures[next(iter(self._failures))]
            return wait

    def forget(self, address: str) -> None:
        """Forget the failures of an address that has logged in."""
        with self._lock:
            self._failures.pop(address, None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
