"""Stop politely on the first signal, at once on the second."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

__all__ = ["HUNG_STATUS", "StopFlag"]

HUNG_STATUS = 4
"""Exit status of a worker that left a trial which could not be ended; the trial has a result."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTICES = (signal.SIGUSR1, signal.SIGUSR2)
"""Sent by batch systems ahead of a time limit, often to a whole job and by several parties."""


class StopFlag:
    """Turns SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 into a flag that the work polls.

    A context manager: the handlers are installed on entry and the former ones restored on exit. The
    second signal ends the process at once with the status ``128 + signal``; what it had leased is
    queued again by the next worker that looks. SIGUSR1 and SIGUSR2 are notices of a batch system:
    they set the flag and never end the process.

    Args:
        leave: Called with the exit status at the second signal; tests replace it.
        say: Called at the first signal, within its handler, to inform the user immediately.
    """

    def __init__(
        self,
        leave: Callable[[int], object] = os._exit,
        say: Callable[[signal.Signals], object] = lambda number: None,
    ) -> None:
        self._event = threading.Event()
        self._leave, self._say = leave, say
        self._former: dict[signal.Signals, object] = {}
        self.signal: signal.Signals | None = None

    def __enter__(self) -> StopFlag:
        for number in (*_SIGNALS, *_NOTICES):
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._former.clear()

    def __call__(self) -> bool:
        """Return whether a signal has come."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but not past a signal.

        Args:
            seconds: Longest time.

        Returns:
            Whether a signal has come.
        """
        return self._event.wait(seconds)

    @property
    def exit_status(self) -> int:
        """The process's exit status: ``128 + signal``, or 0 without a signal."""
        return 128 + self.signal if self.signal else 0

    def follow(self, descriptor: int) -> None:
        """Set the flag, as SIGHUP does, when a pipe ends.

        A launcher keeps the other end of a worker's standard input open and never writes: when
        the launcher dies, however suddenly, its workers leave too.

        Args:
            descriptor: File descriptor, read to its end in a separate thread. Not a file object:
                its lock would be held at the interpreter's end.
        """
        threading.Thread(target=self._await_end, args=(descriptor,), daemon=True).start()

    def _await_end(self, descriptor: int) -> None:
        while os.read(descriptor, 4096):
            pass
        self.signal = self.signal or signal.SIGHUP
        self._event.set()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        notice = number in _NOTICES
        if self._event.is_set() and not notice:
            self._leave(128 + number)
        if self.signal is None or not notice:
            self.signal = signal.Signals(number)
            self._event.set()
            self._say(self.signal)
