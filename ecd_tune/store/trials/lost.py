"""Find leases whose workers are gone, without a common clock.

A worker renews its leases by the third of a lease's length, and each renewal changes the lease's
row. A reaping process measures with its monotonic clock how long the row has been unchanged. So a
machine whose clock is wrong, or is set, neither loses its trials nor takes those of others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from ecd_tune.records import Cause
from ecd_tune.store.db import tables
from ecd_tune.store.trials.requeue import Ending
from ecd_tune.store.workers import Worker

__all__ = ["LeaseWatch", "find_lost"]

_LARGEST_SHARE = 0.35


class LeaseWatch:
    """Remembers what leases looked like, and for how long they have not changed.

    Args:
        seconds: Duration of a lease.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._looked = seconds, -math.inf
        self._still: dict[int, tuple[float, float]] = {}

    def look(self, stamps: Mapping[int, float]) -> set[int]:
        """Look once more.

        The time since the last look counts, but no more than about a third of a lease: a process
        that could not look for longer, because the database was unavailable or locked or the
        machine suspended, knows nothing about workers that could not renew in the meantime.

        Args:
            stamps: Token to the value that each renewal changes, for all valid leases.

        Returns:
            Tokens of the leases that were seen unchanged for as long as a lease lasts.
        """
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, _LARGEST_SHARE * self._seconds), now
        before = self._still
        self._still = {
            token: (stamp, before[token][1] + passed)
            if token in before and before[token][0] == stamp
            else (stamp, 0.0)
            for token, stamp in stamps.items()
        }
        return {token for token, (_, still) in self._still.items() if still >= self._seconds}


def find_lost(
    connection: sa.Connection, study_ids: Iterable[int] | None, watch: LeaseWatch
) -> dict[int, Ending]:
    """Find leases whose workers are gone.

    Args:
        connection: A transaction.
        study_ids: Look at these studies only; None for all.
        watch: Observations from earlier looks at the same studies.

    Returns:
        Token to how the attempt ended.
    """
    leases, workers = tables.leases, tables.workers
    statement = sa.select(leases.c.token, leases.c.expires_at, workers).join(
        workers, workers.c.id == leases.c.worker_id
    )
    if study_ids is not None:
        statement = statement.where(leases.c.study_id.in_(list(study_ids)))
    rows = connection.execute(statement).all()
    expired = watch.look({row.token: row.expires_at for row in rows})
    dead: dict[str, bool] = {}
    lost = {}
    for row in rows:
        worker = Worker(row.host, row.boot_id, row.pid, row.process_start)
        if row.token in expired:
            reason = f"lost: {worker.name} did not renew its lease in time"
            lost[row.token] = Ending(Cause.LOST, reason)
        elif dead.setdefault(row.id, worker.is_dead):
            lost[row.token] = Ending(Cause.KILLED, f"lost: the process {worker.name} has ended")
    return lost
