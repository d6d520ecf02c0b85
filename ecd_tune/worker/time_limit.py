"""End a run that takes too long, wherever it is, as far as Python can.

Between two steps it is asked for the time. Within a step, or if a user's loop hangs, the signal of
a timer raises in the main thread: it ends Python code, sleeping and waiting. Code that does not
come back to Python, such as a deadlock in a library, cannot be ended within the process; after some
grace ``stuck`` is called from another thread, which can end the process.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["GRACE_SECONDS", "TimeLimit", "TimeLimitError"]

GRACE_SECONDS = 10.0
_REPEAT_SECONDS = 1.0
"""A signal may come while an exception would be swallowed, as in a destructor: it comes again."""


class TimeLimitError(BaseException):
    """The run took too long; no Exception, so that no handler in a user's code keeps it."""


class TimeLimit:
    """Ends runs that take longer than they may.

    Args:
        stuck: Called from another thread where a run could not be ended.
        grace: Seconds after the limit until then.
    """

    def __init__(self, stuck: Callable[[], None], grace: float = GRACE_SECONDS) -> None:
        self._stuck, self._grace = stuck, grace
        self._deadline: float | None = None

    @contextmanager
    def holding(self, seconds: float | None) -> Iterator[None]:
        """Limit the time of a ``with`` block.

        Args:
            seconds: The limit; None for none.

        Raises:
            TimeLimitError: The block took longer, from wherever it was.
        """
        if seconds is None:
            yield
            return
        self._deadline = time.monotonic() + seconds
        watchdog = threading.Timer(seconds + self._grace, self._stuck)
        watchdog.daemon = True
        watchdog.start()
        try:
            with _alarm(seconds):
                yield
        finally:
            watchdog.cancel()
            self._deadline = None

    def check(self) -> None:
        """Check the time; fast enough for every step.

        Raises:
            TimeLimitError: The limit of the block that this is called in has passed.
        """
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise TimeLimitError


def _alarm(seconds: float) -> AbstractContextManager[None]:
    main = threading.current_thread() is threading.main_thread()
    if main and hasattr(signal, "setitimer"):
        return _signalled(seconds)
    return (
        nullcontext()
    )  # only the main thread receives signals, and steps check the time themselves


@contextmanager
def _signalled(seconds: float) -> Iterator[None]:
    armed = True

    def end(number: int, frame: object) -> None:
        if armed:
            raise TimeLimitError

    former = signal.signal(signal.SIGALRM, end)
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT_SECONDS)
    began = time.monotonic()
    try:
        try:
            yield
        finally:
            armed = False
    finally:
        # Also if the signal came in the line before.
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        if delay:  # another's timer, such as that of a test
            left = max(delay - (time.monotonic() - began), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)
