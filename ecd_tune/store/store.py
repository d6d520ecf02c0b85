"""The shared store of trials: the facade over Optuna's schema and our own tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar
from uuid import uuid4

import sqlalchemy as sa

from ecd_tune.records import Cause, Lease, Outcome, StudyKey
from ecd_tune.spec import StudySpec
from ecd_tune.store.db.engine import Database
from ecd_tune.store.db.retrying import RETRY_SECONDS
from ecd_tune.store.db.schema import prepare_schema
from ecd_tune.store.db.sql import write_rows
from ecd_tune.store.db.url import DEFAULT_URL
from ecd_tune.store.read import StoreReader
from ecd_tune.store.sampling.samplers import check_sampler
from ecd_tune.store.studies import (
    KnownStudies,
    create_studies,
    find_study,
    known_ids,
    lock_studies,
    to_ref,
)
from ecd_tune.store.trials.again import invalidate_trial, retry_failed
from ecd_tune.store.trials.ask import Asker, Request
from ecd_tune.store.trials.counts import count_trials
from ecd_tune.store.trials.curves import CurvePoint, write_points
from ecd_tune.store.trials.lease import Grant, claim_waiting, find_batch, renew_leases
from ecd_tune.store.trials.lost import LeaseWatch, find_lost
from ecd_tune.store.trials.queue import (
    QueueItem,
    adopt_external_trials,
    find_external_trials,
    queue_items,
)
from ecd_tune.store.trials.requeue import Ending, requeue
from ecd_tune.store.trials.tell import tell
from ecd_tune.store.workers import Worker, seen_worker
from ecd_tune.text import printable

__all__ = ["LEASE_SECONDS", "Store"]

LEASE_SECONDS = 30.0

_T = TypeVar("_T")


class Store(StoreReader):
    """The shared database of studies and trials.

    All methods are thread-safe: each uses its own connection for one transaction. A worker renews
    its leases from a heartbeat thread while the main thread runs trials. After a fork, open
    another store in the child.

    Use :meth:`open`, and the store as a context manager.

    Args:
        database: The database, its schema prepared.
        lease_seconds: Duration of a lease; renew every third of it.
    """

    def __init__(self, database: Database, lease_seconds: float = LEASE_SECONDS) -> None:
        super().__init__(database)
        self._known = KnownStudies()
        self._asker = Asker(database, self._known, lease_seconds)
        self._watches: dict[frozenset[StudyKey] | None, LeaseWatch] = {}
        self.lease_seconds = lease_seconds

    @classmethod
    def open(
        cls,
        url: str = DEFAULT_URL,
        *,
        create: bool = True,
        lease_seconds: float = LEASE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> Store:
        """Open a store; several processes may do so at the same moment.

        An unreachable database raises an error within five seconds; a database that becomes
        unavailable later is waited for.

        Args:
            url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
            create: Create or migrate the tables where needed.
            lease_seconds: Duration of a lease.
            retry_seconds: How long a call waits for an unavailable database, in seconds.

        Returns:
            The store.

        Raises:
            StorageUrlError: The URL is not supported.
            StorageUnavailableError: The database cannot be reached, read or written.
            StoreError: Its tables do not fit this version of ecd_tune.
        """
        database = Database(url, retry_seconds)
        try:
            prepare_schema(database, create=create)
        except BaseException:
            database.close()
            raise
        return cls(database, lease_seconds)

    # Studies.

    def create(self, spec: StudySpec) -> None:
        """Create a study's Optuna studies, one per optimizer and stage, where they are not there.

        Args:
            spec: The study.

        Raises:
            FingerprintMismatchError: It exists and was created from a different study file.
            SpecError: The sampler does not take the options given.
        """
        check_sampler(spec)

        def change(connection: sa.Connection) -> None:
            self._database.lock_names(connection)
            create_studies(connection, spec)

        self._write(change)

    def check(self, spec: StudySpec) -> None:
        """Check that a study is stored here and was created from the same study file.

        Args:
            spec: The study.

        Raises:
            StudyNotFoundError: It is not here.
            FingerprintMismatchError: It was created from a different study file.
        """
        for optimizer in spec.optimizers:
            self._read(partial(self._known.find, spec=spec, optimizer=optimizer))

    # Trials, from the queue to the result.

    def ask(self, spec: StudySpec, optimizer: str, *, count: int, worker: Worker) -> list[Lease]:
        """Lease trials of the search: queued ones first, then new ones from the sampler.

        For any number of workers, at most ``spec.trials(optimizer)`` trials count: finished ones
        without lost attempts, leased ones and queued ones.

        Args:
            spec: The study.
            optimizer: Key of the optimizer.
            count: Largest number.
            worker: The requesting worker.

        Returns:
            The leases; empty if no trial is available now, because the search is complete or the
            other trials are running.

        Raises:
            StudyNotFoundError: The study was not created here.
            FingerprintMismatchError: It was created from a different study file.
        """
        request = Request(spec, optimizer, count, worker, uuid4().hex)

        def call(again: bool) -> list[Lease]:
            found = self._find_batch(spec.key(optimizer), request.batch) if again else []
            return found or self._asker.ask(request)

        return self._retry_policy.call(call)

    def queue(self, key: StudyKey, items: Sequence[QueueItem]) -> int:
        """Queue trials with given hyperparameters; each label is queued only once.

        Args:
            key: The study.
            items: The items to queue.

        Returns:
            How many labels were new.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        return self._write(
            lambda connection: queue_items(connection, to_ref(find_study(connection, key)), items)
        )

    def claim(self, key: StudyKey, *, count: int, worker: Worker) -> list[Lease]:
        """Lease queued trials only, the longest waiting first.

        Args:
            key: The study.
            count: Largest number.
            worker: The requesting worker.

        Returns:
            The leases.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        batch = uuid4().hex

        def call(again: bool) -> list[Lease]:
            found = self._find_batch(key, batch) if again else []
            return found or self._claim(key, count, worker, batch)

        return self._retry_policy.call(call)

    def _claim(self, key: StudyKey, count: int, worker: Worker, batch: str) -> list[Lease]:
        with self._database.read() as connection:
            ref = to_ref(find_study(connection, key))
            if not count_trials(connection, ref.id).waiting:
                return []
        with self._database.write() as connection:
            if find_external_trials(connection, ref.id):
                lock_studies(connection, [ref.id])
                adopt_external_trials(connection, ref)
            write_rows(connection, seen_worker(worker))
            grant = Grant(worker, self.lease_seconds, batch)
            return claim_waiting(connection, ref, count, grant)

    def _find_batch(self, key: StudyKey, batch: str) -> list[Lease]:
        with self._database.write() as connection:
            return find_batch(connection, to_ref(find_study(connection, key)), batch)

    def tell(
        self, results: Sequence[tuple[Lease, Outcome]], points: Sequence[CurvePoint] = ()
    ) -> list[bool]:
        """Store results, in one transaction.

        Args:
            results: Leases and outcomes.
            points: Of their curves, as far as :meth:`report` has not stored them.

        Returns:
            For each result whether it was accepted. False: the lease had expired and the trial was
            given to someone else; the late result is refused and noted as an event.
        """
        if not results:
            return []

        def call(again: bool) -> list[bool]:
            with self._database.write(durable=True) as connection:
                return tell(connection, results, points, again=again)

        return self._retry_policy.call(call)

    def report(self, points: Sequence[CurvePoint]) -> int:
        """Store points of the curves of trials that run; tries once and waits for no outage.

        Args:
            points: The points, oldest first; one of the same trial and step replaces another.

        Returns:
            Number of rejected points, whose lease is no longer valid.
        """
        with self._database.write() as connection:
            return write_points(connection, points)

    def renew(self, leases: Sequence[Lease]) -> list[bool]:
        """Renew leases: they expire a whole lease's length from now.

        Args:
            leases: The current leases.

        Returns:
            For each lease whether it is still valid.
        """
        if not leases:
            return []
        seconds = self.lease_seconds
        return self._write(lambda connection: renew_leases(connection, leases, seconds))

    def release(self, leases: Sequence[Lease], reason: str = "its worker was stopped") -> int:
        """Give trials back unfinished: they are queued again at once.

        Args:
            leases: The current leases; invalid ones are ignored.
            reason: Why, in words for people.

        Returns:
            How many were queued again.
        """
        ending = Ending(Cause.RELEASED, printable(f"interrupted: {reason}"))
        endings = {lease.token: ending for lease in leases}
        if not endings:
            return 0
        return self._write(lambda connection: requeue(connection, endings, "released"))

    def retry(self, key: StudyKey) -> int:
        """Re-queue the failed trials of a study; the failed attempts no longer count.

        Args:
            key: The study.

        Returns:
            How many.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        return self._write(
            lambda connection: retry_failed(connection, to_ref(find_study(connection, key)))
        )

    def invalidate(self, key: StudyKey, number: int, reason: str) -> None:
        """Take the result of a trial out; the reason and the value stay as an event.

        The sampler of a running worker has seen the result and uses it until the worker is
        restarted.

        Args:
            key: The study.
            number: Number of the trial.
            reason: Why, in words.

        Raises:
            StudyNotFoundError: There is no such study.
            StoreError: There is no such trial, or it has not ended.
        """
        # Not retried: the second time there would be nothing to invalidate.
        with self._database.write() as connection:
            ref = to_ref(find_study(connection, key))
            invalidate_trial(connection, ref, number, printable(reason))

    def reap(self, keys: Iterable[StudyKey] | None = None) -> int:
        """Re-queue the trials of dead workers, each exactly once.

        A worker counts as dead if repeated checks of this store have seen a lease unchanged for the
        duration of a lease, or if it was a process on this machine that no longer exists.

        Args:
            keys: Check these studies only; None for all. Unknown ones are ignored.

        Returns:
            Number of re-queued trials.
        """
        wanted = None if keys is None else frozenset(keys)
        watch = self._watch(wanted)

        def look(connection: sa.Connection) -> dict[int, Ending]:
            ids = None if wanted is None else known_ids(connection, wanted)
            return find_lost(connection, ids, watch)

        lost = self._read(look)
        if not lost:
            return 0
        return self._write(lambda connection: requeue(connection, lost, "lost"))

    def reap_in_turn(self, keys: Iterable[StudyKey]) -> int:
        """Call :meth:`reap` if it is time for the next check for dead workers.

        Workers call this before each ask. It checks at most once per second. With many leases it
        checks less often, so that all workers together check eight times per second; if a lease is
        not renewed in time, it checks every third of a lease.

        Args:
            keys: Check these studies only.

        Returns:
            Number of re-queued trials.
        """
        wanted = frozenset(keys)
        return self.reap(wanted) if self._watch(wanted).due else 0

    def _watch(self, keys: frozenset[StudyKey] | None) -> LeaseWatch:
        return self._watches.setdefault(keys, LeaseWatch(self.lease_seconds))

    def _write(self, change: Callable[[sa.Connection], _T]) -> _T:
        # For changes that may be repeated: the second time they find nothing to do.
        def call(again: bool) -> _T:
            with self._database.write() as connection:
                return change(connection)

        return self._retry_policy.call(call)
