"""Renew leases from a thread that does not depend on the work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ecd_tune.errors import StorageReplacedError
from ecd_tune.records import Lease

__all__ = ["Heartbeat"]

_log = logging.getLogger(__name__)


class Heartbeat:
    """Calls ``renew`` with the current leases at a fixed interval.

    Args:
        renew: Usually :meth:`ecd_tune.store.Store.renew`; called from the heartbeat's thread.
        interval: Seconds between two calls; a third of the lease's length is usual.
    """

    def __init__(self, renew: Callable[[Sequence[Lease]], object], interval: float) -> None:
        self._renew, self._interval = renew, interval
        self._replaced = threading.Event()

    @property
    def storage_replaced(self) -> bool:
        """Whether the file with the leases is gone, so that no result can be stored."""
        return self._replaced.is_set()

    @contextmanager
    def holding(self, leases: Sequence[Lease] | Callable[[], Sequence[Lease]]) -> Iterator[None]:
        """Keep ``leases`` alive for the length of a ``with`` block.

        A renewal waits for an unavailable database; a failed one is logged and retried at the next
        heartbeat. Work continues meanwhile; whether the lease is still valid is decided when the
        result is told.

        Args:
            leases: The current leases, or a function that returns them.
        """
        done = threading.Event()
        given = leases if callable(leases) else tuple(leases)
        held = given if callable(given) else lambda: given
        thread = threading.Thread(
            target=self._beat, args=(held, done), name="heartbeat", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self, held: Callable[[], Sequence[Lease]], done: threading.Event) -> None:
        while not done.wait(self._interval):
            try:
                self._renew(held())
            except StorageReplacedError as error:
                _log.error("heartbeat: %s", error)
                self._replaced.set()
                return
            except Exception as error:
                # For any exception: without a heartbeat other workers take over the running trials.
                _log.warning("heartbeat: %s; retrying in %.0f s", error, self._interval)
