"""Hand out trials of the search: queued ones first, then new ones from the sampler."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from ecd_tune.errors import StudyNotFoundError
from ecd_tune.records import Lease, StudyKey
from ecd_tune.spec import StudySpec
from ecd_tune.store.db.engine import Database
from ecd_tune.store.db.sql import write_rows
from ecd_tune.store.sampling.samplers import history_bound, is_blind, is_serial, make_sampler
from ecd_tune.store.studies import KnownStudies, StudyRef, lock_studies
from ecd_tune.store.trials.counts import TrialCounts, count_trials
from ecd_tune.store.trials.draw import Drawer, Request
from ecd_tune.store.trials.lease import Grant, claim_waiting
from ecd_tune.store.trials.queue import (
    fail_external_trial,
    find_external_trials,
    queue_grid,
    queued_values,
    store_external_trial,
)

__all__ = ["Asker", "Request"]


class Asker:
    """Hands out search trials.

    Args:
        database: The database.
        known: Finds studies.
        lease_seconds: Duration of a lease.
    """

    def __init__(self, database: Database, known: KnownStudies, lease_seconds: float) -> None:
        self._database, self._known, self._lease_seconds = database, known, lease_seconds
        self._drawer = Drawer(database, known, lease_seconds)
        self._shared: set[int] = set()  # studies that other processes draw for too
        # Studies whose last ask drew new trials, with a sampler that looks at none.
        self._flowing: dict[StudyKey, tuple[StudySpec, StudyRef]] = {}
        self._missed: set[int] = set()  # studies whose last draw gave no trials
        self._lock = threading.Lock()

    def ask(self, request: Request) -> list[Lease]:
        """Lease up to ``count`` trials, see :meth:`ecd_tune.store.Store.ask`.

        Args:
            request: The request.

        Returns:
            The leases.
        """
        with self._lock:
            try:
                return self._ask_on(request) or self._ask(request)
            except BaseException:
                # A rolled-back attempt may have left entries here.
                self._drawer.forget()
                self._flowing.clear()
                self._missed.clear()  # without a history the expected numbers are unknown
                raise

    def _ask_on(self, request: Request) -> list[Lease]:
        """Draw as the last time, without a look first."""
        spec, ref = self._flowing.pop(request.spec.key(request.optimizer), (None, None))
        if ref is None or spec is not request.spec:
            return []
        try:
            return self._draw_ahead(ref, request, request.count)
        except StudyNotFoundError:
            return []  # deleted, and perhaps created again

    def _ask(self, request: Request) -> list[Lease]:
        # A look without a lock comes first, so that idle workers do not keep others waiting.
        spec = request.spec
        with self._database.read() as connection:
            ref = self._known.find(connection, spec, request.optimizer)
            counts = count_trials(connection, ref.id)
            self._drawer.drop_outdated(ref, counts.next_number)
            self._note_others(ref, counts)
            remaining = counts.remaining(self._drawer.target(ref, request))
            drawn = remaining and not counts.waiting and spec.sampler.name != "grid"
            if drawn and not is_serial(spec):
                self._drawer.sync(connection, ref, spec, counts.next_number)
        if drawn:
            return self._ask_new(ref, request, min(request.count, remaining))
        if remaining and spec.sampler.name == "grid":
            self._queue_grid(ref, request)
        elif not counts.waiting:
            return []
        return self._ask_waiting(ref, request)

    def _queue_grid(self, ref: StudyRef, request: Request) -> None:
        spec, target = request.spec, self._drawer.target(ref, request)
        space = spec.optimizers[request.optimizer].space
        with self._database.write() as connection:
            queue_grid(
                connection,
                ref,
                space,
                target,
                lambda number: spec.search_seed(number, request.optimizer),
            )

    def _ask_waiting(self, ref: StudyRef, request: Request) -> list[Lease]:
        grant = Grant(request.worker, self._lease_seconds, request.batch)
        with self._database.write() as connection:
            lock_studies(connection, [ref.id])
            self._complete_external(connection, ref, request)
            target = self._drawer.target(ref, request)
            claimable = count_trials(connection, ref.id).claimable(target)
            write_rows(connection, *self._drawer.register(request.worker))
            return claim_waiting(connection, ref, min(request.count, claimable), grant)

    def _ask_new(self, ref: StudyRef, request: Request, count: int) -> list[Lease]:
        if is_serial(request.spec):
            return self._drawer.draw_locked(ref, request, count)
        leases = self._draw_ahead(ref, request, count)
        if leases:
            return leases
        with self._database.read() as connection:
            counts = count_trials(connection, ref.id)
            self._note_others(ref, counts)
            if counts.waiting or not counts.remaining(self._drawer.target(ref, request)):
                return []
            self._drawer.sync(connection, ref, request.spec, counts.next_number)
        return self._draw_ahead(ref, request, count)

    def _draw_ahead(self, ref: StudyRef, request: Request, count: int) -> list[Lease]:
        salt = request.worker.id if ref.id in self._shared else ""
        leases = self._drawer.draw_ahead(ref, request, count, salt)
        if not leases:
            self._missed.add(ref.id)
        elif is_blind(request.spec):
            self._flowing[ref.key] = request.spec, ref
        return leases

    def _note_others(self, ref: StudyRef, counts: TrialCounts) -> None:
        """Find out why a draw gave no trials, before the history is updated."""
        if ref.id not in self._missed:
            return
        self._missed.remove(ref.id)
        if not counts.waiting and counts.next_number != self._drawer.history(ref).next_number:
            # Someone else took these numbers, and has drawn the same points with the same
            # seed. With others at work it would happen again: from now on this worker's id
            # goes into the seed, and no numbers need to be the expected ones.
            self._shared.add(ref.id)

    def _complete_external(
        self, connection: sa.Connection, ref: StudyRef, request: Request
    ) -> None:
        rows = find_external_trials(connection, ref.id)
        if not rows:
            return
        spec, optimizer, history = request.spec, request.optimizer, self._drawer.history(ref)
        blind, space = is_blind(spec), spec.optimizers[optimizer].space
        if not blind:
            history.sync(connection, history_bound(spec))
        for row in rows:
            if blind:
                history.skip_to(row.number)
            fixed = queued_values(connection, row.trial_id)
            seed = spec.search_seed(row.number, optimizer)
            try:
                sampler = make_sampler(spec, optimizer, row.number)
                point = history.complete(space, row.number, fixed, sampler)
            except ValueError as error:
                fail_external_trial(connection, ref.id, row.trial_id, seed, f"queued: {error}")
                continue
            store_external_trial(connection, ref.id, row.trial_id, point, seed)
