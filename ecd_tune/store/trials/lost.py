"""Find leases whose workers are gone, without a common clock.

A worker renews its leases by the third of a lease's length, and each renewal changes the lease's
row. A reaping process measures with its monotonic clock how long the row has been unchanged. So a
machine whose clock is wrong, or is set, neither loses its trials nor takes those of others.
The database's clock only determines when the next check is useful.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from ecd_tune.records import Cause
from ecd_tune.store.db import tables
from ecd_tune.store.db.sql import now
from ecd_tune.store.trials.requeue import Ending
from ecd_tune.store.workers import Worker, here

__all__ = ["LeaseWatch", "find_lost"]

_LARGEST_SHARE = 0.35
_LOOKS_PER_SECOND = 8.0
"""Checks of all workers of a study together, while all renew their leases."""
_SHORTEST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
"""In leases."""
_FRESH = (0.6, 1.05)
"""Remaining share of a lease that is renewed in time, every third of its length."""


class LeaseWatch:
    """Records the state of leases, and for how long it has not changed.

    Args:
        seconds: Duration of a lease.

    Attributes:
        seconds: Duration of a lease.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self._looked = seconds, -math.inf
        self._still: dict[int, tuple[float, float]] = {}
        self._due = -math.inf
        # Not Python's global generator: trials seed it, and all workers would check at once.
        self._chance = random.Random()

    @property
    def due(self) -> bool:
        """Whether it is time for the next check."""
        return time.monotonic() >= self._due

    def plan(self, leases: int, *, doubtful: bool) -> None:
        """Plan the next check.

        Each lease belongs to a worker that checks too, so each worker checks less often the more
        leases exist. A worker that has seen a lease that was not renewed in time checks more often.

        Args:
            leases: Number of leases.
            doubtful: Whether one of them was not renewed in time.
        """
        longest = self.seconds * (1 / 3 if doubtful else _LONGEST_PAUSE)
        pause = max(_SHORTEST_PAUSE, min(leases / _LOOKS_PER_SECOND, longest))
        self._due = time.monotonic() + pause * self._chance.uniform(0.75, 1.0)

    def look(self, stamps: Mapping[int, float]) -> set[int]:
        """Record another check.

        The time since the last check counts, but at most about a third of a lease: a process
        that could not check for longer, because the database was unavailable or locked or the
        machine suspended, knows nothing about workers that could not renew in the meantime.

        Args:
            stamps: Token to the value that each renewal changes, for all valid leases.

        Returns:
            Tokens of the leases that were seen unchanged for as long as a lease lasts.
        """
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, _LARGEST_SHARE * self.seconds), now
        before = self._still
        self._still = {
            token: (stamp, before[token][1] + passed)
            if token in before and before[token][0] == stamp
            else (stamp, 0.0)
            for token, stamp in stamps.items()
        }
        return {token for token, (_, still) in self._still.items() if still >= self.seconds}


def find_lost(
    connection: sa.Connection, study_ids: Iterable[int] | None, watch: LeaseWatch
) -> dict[int, Ending]:
    """Find leases whose workers are gone.

    Args:
        connection: A transaction.
        study_ids: Check these studies only; None for all.
        watch: Observations from earlier checks of the same studies.

    Returns:
        Token to how the attempt ended.
    """
    leases = tables.leases
    mine = [] if study_ids is None else [leases.c.study_id.in_(list(study_ids))]
    left = leases.c.expires_at - now()
    low, high = (share * watch.seconds for share in _FRESH)
    # Two numbers of each: there can be thousands, and almost none is lost.
    rows = connection.execute(
        sa.select(leases.c.token, leases.c.expires_at, left.between(low, high)).where(*mine)
    ).all()
    watch.plan(len(rows), doubtful=not all(row[2] for row in rows))
    expired = watch.look({token: stamp for token, stamp, _ in rows})
    dead = _find_dead(connection, mine)
    return _judge(connection, mine, expired, dead) if expired or dead else {}


def _find_dead(connection: sa.Connection, mine: Sequence[sa.ColumnElement[bool]]) -> set[str]:
    """Return the ids of workers with leases whose process on this machine has ended."""
    leases, workers = tables.leases, tables.workers
    host, boot_id = here()
    rows = connection.execute(
        sa.select(workers.c.id, workers.c.pid, workers.c.process_start).where(
            workers.c.host == host,
            workers.c.boot_id == boot_id,
            workers.c.id.in_(sa.select(leases.c.worker_id).where(*mine)),
        )
    )
    return {id for id, pid, start in rows if Worker(host, boot_id, pid, start).is_dead}


def _judge(
    connection: sa.Connection,
    mine: Sequence[sa.ColumnElement[bool]],
    expired: set[int],
    dead: set[str],
) -> dict[int, Ending]:
    leases, workers = tables.leases, tables.workers
    rows = connection.execute(
        sa.select(leases.c.token, workers.c.host, workers.c.pid)
        .join(workers, workers.c.id == leases.c.worker_id)
        .where(*mine, leases.c.token.in_(sorted(expired)) | workers.c.id.in_(sorted(dead)))
    )
    lost = {}
    for token, host, pid in rows:
        if token in expired:
            reason = f"lost: {host}:{pid} did not renew its lease in time"
            lost[token] = Ending(Cause.LOST, reason)
        else:
            lost[token] = Ending(Cause.KILLED, f"lost: the process {host}:{pid} has ended")
    return lost
