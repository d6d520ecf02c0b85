"""Curves while they grow: points come in at once and are written in the background.

The points become Optuna's intermediate values, so that its dashboard shows a trial that still runs.
A report only appends to a list in memory; a thread writes the collected points at each interval, in
one transaction. A trial that is shorter than the interval costs none: its points travel with its
result.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.errors import StoreError
from ecd_tune.records import Lease
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.sql import Change, write_rows

__all__ = ["CurvePoint", "ReportBuffer", "new_points", "write_points"]

_log = logging.getLogger(__name__)

_INTERVAL = 5.0
_LIMIT = 100_000
_LEAVE_SECONDS = 1.0


class CurvePoint(NamedTuple):
    """One point of the curve of a trial.

    Attributes:
        trial_id: The trial.
        token: Of the lease under which it was measured.
        step: For example the epoch.
        value: The metric; may be NaN or infinite.
    """

    trial_id: int
    token: int
    step: int
    value: float


class ReportBuffer:
    """Collects points from the computing thread, and writes them from a separate thread.

    Args:
        write: Usually :meth:`ecd_tune.store.Store.report`: stores points and returns how many
            it refused. It should try once only; what it could not store is kept for later.
        interval: Seconds between two writes.
        limit: Points kept at most; then the oldest are dropped.

    Attributes:
        refused: Points reported after their lease was lost.
        dropped: Points that found no place while the database was away.
    """

    def __init__(
        self,
        write: Callable[[Sequence[CurvePoint]], int],
        interval: float = _INTERVAL,
        limit: int = _LIMIT,
    ) -> None:
        self._write, self._interval = write, interval
        self._points: deque[CurvePoint] = deque(maxlen=limit)
        self._access = threading.Lock()  # held for an instant only
        self._writing = threading.Lock()
        self._away = False
        self.refused = self.dropped = 0

    def report(self, lease: Lease, step: int, value: float) -> None:
        """Add a point; never waits for the database.

        Args:
            lease: Of the trial.
            step: For example the epoch.
            value: The metric.
        """
        point = CurvePoint(lease.trial_id, lease.token, step, float(value))
        with self._access:
            self.dropped += len(self._points) == self._points.maxlen
            self._points.append(point)

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Write at each interval for the length of a ``with`` block.

        After the block nothing is being written: the remaining points are for :meth:`take`. If it
        raises, the trials will not be told, and the remaining points are dropped.
        """
        done = threading.Event()
        thread = threading.Thread(target=self._run, args=(done,), name="reports", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            done.set()
            # Someone waits for this process to leave; a write under way is fenced by its token.
            thread.join(_LEAVE_SECONDS)
            self._empty()
            raise
        done.set()
        thread.join()

    def take(self, leases: Sequence[Lease] | None = None) -> list[CurvePoint]:
        """Return what is not written yet and forget it; :meth:`Store.tell` stores it.

        Args:
            leases: Only points of these; None for all.
        """
        with self._writing:
            points = self._empty()
            if leases is None:
                return points
            tokens = {lease.token for lease in leases}
            self._put_back([point for point in points if point.token not in tokens])
            return [point for point in points if point.token in tokens]

    def flush(self) -> None:
        """Write what there is; on an outage it is kept for the next time."""
        with self._writing:
            points = self._empty()
            if not points:
                return
            try:
                refused = self._write(points)
            except StoreError as error:
                self._put_back(points)
                self._say_away(error)
                return
            except Exception:
                # Not an outage: it would fail again. The result contains the curve anyway.
                self.dropped += len(points)
                _log.warning("%d points of curves cannot be stored", len(points), exc_info=True)
                return
            self.refused += refused
            self._away = False

    def _run(self, done: threading.Event) -> None:
        while not done.wait(self._interval):
            self.flush()

    def _empty(self) -> list[CurvePoint]:
        with self._access:
            points = list(self._points)
            self._points.clear()
        return points

    def _put_back(self, points: Sequence[CurvePoint]) -> None:
        with self._access:
            together = [*points, *self._points]
            self._points = deque(together, maxlen=self._points.maxlen)
            self.dropped += len(together) - len(self._points)

    def _say_away(self, error: StoreError) -> None:
        if not self._away:
            _log.warning("curves: %s; kept in memory for a later attempt", error)
        self._away = True


def write_points(connection: sa.Connection, points: Sequence[CurvePoint]) -> int:
    """Store points of trials whose leases are still valid.

    Args:
        connection: A write transaction.
        points: The points, oldest first.

    Returns:
        Number of rejected points, whose lease is no longer valid.
    """
    tokens = {point.token for point in points}
    rows = connection.execute(_LOCK_VALID, {"tokens": [*tokens]})
    standing = {(row.token, row.trial_id) for row in rows}
    kept = [point for point in points if (point.token, point.trial_id) in standing]
    write_rows(connection, new_points(kept))
    return len(points) - len(kept)


def new_points(points: Sequence[CurvePoint]) -> Change:
    """Return the change that stores points, without checking the leases of their trials.

    Args:
        points: The points, oldest first; a later one of the same trial and step replaces an
            earlier one.
    """
    rows = {}
    for trial_id, _, step, value in points:
        stored, kind = optuna_tables.from_intermediate(value)
        rows[trial_id, step] = {
            "trial_id": trial_id,
            "step": step,
            "intermediate_value": stored,
            "intermediate_value_type": kind,
        }
    return Change(optuna_tables.intermediate_values, [*rows.values()], ("trial_id", "step"))


def _build_lock_valid() -> sa.Select[Any]:
    leases, trials = tables.leases, optuna_tables.trials
    reported = leases.c.token.in_(sa.bindparam("tokens", expanding=True))
    return (
        sa.select(leases.c.token, leases.c.trial_id)
        .join(trials, trials.c.trial_id == leases.c.trial_id)
        .where(reported, trials.c.state == OptunaState.RUNNING)
        .order_by(leases.c.trial_id)
        # Against a process that would take the lease away meanwhile, but not against its renewal.
        .with_for_update(read=True, key_share=True, of=leases)
    )


_LOCK_VALID = _build_lock_valid()
