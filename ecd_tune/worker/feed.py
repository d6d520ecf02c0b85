"""Ask for trials and tell their results in a separate thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ecd_tune.records import Lease, Outcome

__all__ = ["Feed"]

_LOOK_SECONDS = 1.0
"""Between two questions for trials after one that brought none."""
_WAKE_SECONDS = 0.25
"""Seconds between two checks of the stop signal."""

Result = tuple[Lease, Outcome]


class Feed:
    """Prefetches trials for training, and reports their results.

    Collected results are told in one call, before more trials are asked for, so that a sampler
    knows them.

    Args:
        leases: Trials that are already leased.
        ask: Leases up to so many further trials; called from the thread.
        tell: Stores results; called from the thread.
        ahead: Trials that are kept ready. More of them are asked for without the results of
            those that run, fewer may let the training wait.
        stop: Whether to ask for no more.
    """

    def __init__(
        self,
        leases: Sequence[Lease],
        ask: Callable[[int], Sequence[Lease]],
        tell: Callable[[Sequence[Result]], None],
        ahead: int,
        stop: Callable[[], bool],
    ) -> None:
        self._ask, self._tell, self._ahead, self._stop = ask, tell, ahead, stop
        self._ready = deque(leases)
        self._running: dict[int, Lease] = {}
        self._results: list[Result] = []
        self._telling: list[Result] = []
        self._changed = threading.Condition()
        self._dry = self._closing = False
        self._error: BaseException | None = None

    @contextmanager
    def flowing(self) -> Iterator[Feed]:
        """Ask and tell during a ``with`` block; all results are told at its end.

        Yields:
            This feed.

        Raises:
            BaseException: Any exception of ``ask`` or ``tell``.
        """
        thread = threading.Thread(target=self._run, name="feed", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            thread.join()
        self._raise()

    def take(self, count: int) -> list[Lease]:
        """Return trials to run.

        Args:
            count: Largest number.

        Returns:
            Those that are ready. While none is running it waits for some, and none means that
            there are none.

        Raises:
            BaseException: Any exception of ``ask`` or ``tell``.
        """
        with self._changed:
            if not self._ready and not self._running:
                self._dry = False  # once more, now that all results are there
                self._changed.notify_all()
                while not (self._ready or self._dry or self._error or self._stop()):
                    self._changed.wait(_WAKE_SECONDS)
            self._raise()
            taken = [self._ready.popleft() for _ in range(min(count, len(self._ready)))]
            self._running |= {lease.token: lease for lease in taken}
            self._changed.notify_all()
        return taken

    def put(self, lease: Lease, outcome: Outcome) -> None:
        """Pass the outcome of a trial.

        Args:
            lease: The trial.
            outcome: Its outcome.
        """
        with self._changed:
            del self._running[lease.token]
            self._results.append((lease, outcome))
            self._changed.notify_all()

    @property
    def leases(self) -> list[Lease]:
        """Current leases: of trials that are ready, running, or not yet told."""
        with self._changed:
            told = [lease for lease, _ in (*self._telling, *self._results)]
            return [*self._ready, *self._running.values(), *told]

    def _run(self) -> None:
        try:
            while self._work():
                pass
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _work(self) -> bool:
        """Tell and ask once; return whether more work is possible."""
        with self._changed:
            busy = self._changed.wait_for(
                lambda: self._closing or self._results or self._short, _LOOK_SECONDS
            )
            if self._results or not busy:
                self._dry = False  # a failed trial may be tried again, or another worker's
            self._telling, self._results = self._results, []
            asking = self._short
            if self._closing and not self._telling:
                return False
        if self._telling:
            self._tell(self._telling)
        with self._changed:
            self._telling = []
        if asking and not self._stop():
            self._fetch()
        return True

    @property
    def _short(self) -> bool:
        return not self._closing and not self._dry and len(self._ready) < self._ahead

    def _fetch(self) -> None:
        leases = self._ask(self._ahead - len(self._ready))
        with self._changed:
            self._ready += leases
            self._dry = not leases
            self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
