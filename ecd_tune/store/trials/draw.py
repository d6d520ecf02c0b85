"""Draw new trials with a sampler, and insert them if their numbers are still free."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ecd_tune.records import Lease, RunRequest
from ecd_tune.spec import StudySpec
from ecd_tune.store.db import optuna_tables
from ecd_tune.store.db.engine import Database
from ecd_tune.store.db.sql import Change, write_rows
from ecd_tune.store.sampling.guided import guided_points
from ecd_tune.store.sampling.history import TrialHistory
from ecd_tune.store.sampling.points import StoredPoint
from ecd_tune.store.sampling.random_points import draw_random
from ecd_tune.store.sampling.samplers import (
    history_bound,
    is_blind,
    make_sampler,
    sampler_seed,
)
from ecd_tune.store.studies import KnownStudies, StudyRef, lock_studies
from ecd_tune.store.trials.counts import TrialCounts, count_trials
from ecd_tune.store.trials.insert import Draft, new_trials
from ecd_tune.store.trials.lease import Grant, new_leases
from ecd_tune.store.workers import Worker, seen_worker

__all__ = ["Drawer", "Request"]


@dataclass(frozen=True)
class Request:
    """The request of one ask.

    Attributes:
        spec: The study.
        optimizer: Key of the optimizer.
        count: Largest number of trials.
        worker: Who gets them.
        batch: Names this ask; the same when it is repeated.
    """

    spec: StudySpec
    optimizer: str
    count: int
    worker: Worker
    batch: str


class Drawer:
    """Draws new trials; keeps one history per study for as long as the process lives.

    Args:
        database: The database.
        known: Finds studies.
        lease_seconds: Duration of a lease.
    """

    def __init__(self, database: Database, known: KnownStudies, lease_seconds: float) -> None:
        self._database, self._known, self._lease_seconds = database, known, lease_seconds
        self._histories: dict[int, TrialHistory] = {}
        self._targets: dict[int, tuple[StudySpec, int]] = {}
        self._registered: dict[str, float] = {}

    def forget(self) -> None:
        """Drop what a transaction may have left here that was undone."""
        self._histories.clear()
        self._registered.clear()

    def history(self, ref: StudyRef) -> TrialHistory:
        """Return the history of a study."""
        history = self._histories.get(ref.id)
        if history is None:
            history = self._histories[ref.id] = TrialHistory(ref)
        return history

    def drop_outdated(self, ref: StudyRef, number: int) -> None:
        """Drop the history of a study that was deleted and created again under the same id.

        Args:
            ref: The study.
            number: The number that the next new trial gets: such a history knows a larger one.
        """
        if number < self.history(ref).next_number:
            del self._histories[ref.id]

    def target(self, ref: StudyRef, request: Request) -> int:
        """Return how many trials of a study are wanted."""
        # Counting the points of a grid takes as long as listing them.
        known = self._targets.get(ref.id)
        if known is None or known[0] is not request.spec:
            trials = request.spec.trials(request.optimizer)
            known = self._targets[ref.id] = (request.spec, trials)
        return known[1]

    def sync(self, connection: sa.Connection, ref: StudyRef, spec: StudySpec, number: int) -> None:
        """Update the history of a study, as far as the sampler uses it.

        Args:
            connection: A transaction.
            ref: The study.
            spec: Its study file.
            number: The number that the next new trial gets.
        """
        if is_blind(spec):
            self.history(ref).skip_to(number)
        else:
            self.history(ref).sync(connection, history_bound(spec))

    def draw_locked(self, ref: StudyRef, request: Request, count: int) -> list[Lease]:
        """Draw while everybody else waits, from all that is stored at that moment.

        Args:
            ref: The study.
            request: The request.
            count: Largest number.

        Returns:
            The leases.
        """
        with self._database.write() as connection:
            lock_studies(connection, [ref.id])
            counts = count_trials(connection, ref.id, new=count)
            self.sync(connection, ref, request.spec, counts.next_number)
            remaining = counts.remaining(self.target(ref, request))
            points = self._draw(ref, request, min(count, remaining), "")
            return self._store(connection, ref, request, points, counts)

    def draw_ahead(
        self,
        ref: StudyRef,
        request: Request,
        count: int,
        salt: str,
    ) -> list[Lease]:
        """Draw from what the history shows before the study is locked, since that may take seconds.

        Args:
            ref: The study.
            request: The request.
            count: Maximum number; the drawn points are cut to the number required then.
            salt: As for :func:`~ecd_tune.store.sampling.samplers.make_sampler`; with it, other
                numbers than those that the history expects will do.

        Returns:
            The leases; empty if queued trials come first, if no trial is required any longer, if
            the study was deleted, or if another worker took the numbers.
        """
        first = self.history(ref).next_number
        points = self._draw(ref, request, count, salt)
        with self._database.write() as connection:
            lock_studies(connection, [ref.id])
            counts = count_trials(connection, ref.id, new=count)
            if not self._fits(ref, counts, first, anywhere=bool(salt)):
                return []
            points = points[: counts.remaining(self.target(ref, request))]
            return self._store(connection, ref, request, points, counts)

    def _fits(self, ref: StudyRef, counts: TrialCounts, first: int, *, anywhere: bool) -> bool:
        """Say whether what was drawn before the lock may be stored now."""
        unchanged = counts.key == ref.key and counts.fingerprint == self._known.fingerprint(ref.key)
        free = anywhere or counts.next_number == first
        return unchanged and free and not counts.waiting

    def register(self, worker: Worker) -> tuple[Change, ...]:
        """Return the change that writes a worker's row, unless that was done a moment ago.

        The heartbeat updates the worker often enough; its row is needed only once.

        Args:
            worker: The worker.
        """
        seen = self._registered.get(worker.id, -math.inf)
        if time.monotonic() - seen <= self._lease_seconds / 3:
            return ()
        self._registered[worker.id] = time.monotonic()
        return (seen_worker(worker),)

    def _draw(self, ref: StudyRef, request: Request, count: int, salt: str) -> list[StoredPoint]:
        spec, optimizer, history = request.spec, request.optimizer, self.history(ref)
        space = spec.optimizers[optimizer].space
        if is_blind(spec):
            return draw_random(
                space, count, sampler_seed(spec, optimizer, history.next_number, salt)
            )
        sampler = make_sampler(spec, optimizer, history.next_number, salt=salt)
        return history.draw(space, count, sampler)

    def _store(
        self,
        connection: sa.Connection,
        ref: StudyRef,
        request: Request,
        points: Sequence[StoredPoint],
        counts: TrialCounts,
    ) -> list[Lease]:
        """Insert drawn points, running from now on, and lease them."""
        if not points:
            return []
        spec, worker, first = request.spec, request.worker, counts.next_number
        ids = counts.ids[: len(points)]
        # Under the lock, where the numbers are known.
        guided = guided_points(spec, request.optimizer, range(first, first + len(points)))
        drafts = [
            Draft(
                guided.get(at, point),
                "prior" if at in guided else "sampler",
                spec.search_seed(at, request.optimizer),
            )
            for at, point in enumerate(points, first)
        ]
        grant = Grant(worker, self._lease_seconds, request.batch)
        tokens, leases = new_leases(ref.id, ids, grant)
        write_rows(
            connection,
            *self.register(worker),
            _new_study_attrs(ref.id, self.history(ref).changed_study_attrs),
            *new_trials(ref.id, drafts, counts, running_on=worker.name),
            leases,
        )
        self._keep(ref, spec, first, ids, guided)
        return [
            Lease(
                key=ref.key,
                trial_id=trial_id,
                number=number,
                token=tokens[trial_id],
                attempt=1,
                request=RunRequest(draft.point.params, draft.seed, ref.key.stage),
                source=draft.source,
            )
            for number, (trial_id, draft) in enumerate(zip(ids, drafts, strict=True), first)
        ]

    def _keep(
        self,
        ref: StudyRef,
        spec: StudySpec,
        first: int,
        trial_ids: Sequence[int],
        replaced: Mapping[int, StoredPoint],
    ) -> None:
        """Note in the history which of the points that it shows are stored now."""
        history = self.history(ref)
        if is_blind(spec):
            history.skip_to(first + len(trial_ids))
        elif first == history.next_number:
            history.adopt(trial_ids, replaced)


def _new_study_attrs(study_id: int, attrs: Mapping[str, Any]) -> Change:
    rows = [
        {"study_id": study_id, "key": key, "value_json": optuna_tables.dump_attr(value)}
        for key, value in attrs.items()
    ]
    return Change(optuna_tables.study_system_attributes, rows, ("study_id", "key"))
