"""Draw new trials with a sampler, and insert them where nobody else did meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ecd_tune.records import Lease, RunRequest
from ecd_tune.spec import StudySpec
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store._engine import Database
from ecd_tune.store._inserts import Draft, Opening, send_leased
from ecd_tune.store._leases import Grant
from ecd_tune.store._parts import replacement
from ecd_tune.store._rows import StudyRef, lock_studies, send_lock, take_tally
from ecd_tune.store._statement import together
from ecd_tune.store._studies import KnownStudies
from ecd_tune.store.samplers import is_blind, make_sampler
from ecd_tune.store.view import Point, View
from ecd_tune.store.workers import Worker, register

__all__ = ["Also", "Drawer", "Request", "nothing_else"]

Also = Callable[[sa.Connection], object]
"""Sends what is to be stored in the transaction of an ask."""


def nothing_else(connection: sa.Connection) -> None:
    """Store nothing beside the trials that are asked for."""


@dataclass(frozen=True)
class Request:
    """What one ask wants.

    Attributes:
        spec: The study.
        optimizer: Key of the optimizer.
        count: How many trials at the most.
        worker: Who gets them.
        batch: Names this ask; the same when it is repeated.
    """

    spec: StudySpec
    optimizer: str
    count: int
    worker: Worker
    batch: str


class Drawer:
    """Draws new trials; keeps one view per study for as long as the process lives.

    Args:
        database: The database.
        known: Finds studies.
        lease_seconds: Length of a lease.
    """

    def __init__(self, database: Database, known: KnownStudies, lease_seconds: float) -> None:
        self._database, self._known, self._lease_seconds = database, known, lease_seconds
        self._views: dict[int, View] = {}
        self._targets: dict[int, tuple[StudySpec, int]] = {}
        self._registered: dict[str, float] = {}

    def forget(self) -> None:
        """Drop what a transaction may have left here that was undone."""
        self._views.clear()
        self._registered.clear()

    def view(self, ref: StudyRef) -> View:
        """Return the view of a study."""
        view = self._views.get(ref.id)
        if view is None:
            view = self._views[ref.id] = View(ref)
        return view

    def drop_outdated(self, ref: StudyRef, number: int) -> None:
        """Drop the view of a study that was deleted and created again under the same id.

        Args:
            ref: The study.
            number: The number that the next new trial gets: such a view knows a larger one.
        """
        if number < self.view(ref).next_number:
            del self._views[ref.id]

    def target(self, ref: StudyRef, request: Request) -> int:
        """Return how many trials of a study are wanted."""
        # Counting the points of a grid takes as long as listing them.
        known = self._targets.get(ref.id)
        if known is None or known[0] is not request.spec:
            trials = request.spec.trials(request.optimizer)
            known = self._targets[ref.id] = (request.spec, trials)
        return known[1]

    def sync(self, connection: sa.Connection, ref: StudyRef, spec: StudySpec, number: int) -> None:
        """Bring the view of a study up to date, as far as the sampler looks at it.

        Args:
            connection: A transaction.
            ref: The study.
            spec: Its study file.
            number: The number that the next new trial gets.
        """
        if is_blind(spec):
            self.view(ref).skip_to(number)
        else:
            self.view(ref).sync(connection)

    def draw_locked(self, ref: StudyRef, request: Request, count: int) -> list[Lease]:
        """Draw while everybody else waits, from all that is stored at that moment.

        Args:
            ref: The study.
            request: What is asked for.
            count: How many at the most.

        Returns:
            The leases.
        """
        with self._database.write() as connection:
            lock_studies(connection, [ref.id])
            tally = take_tally(connection, ref.id)
            self.sync(connection, ref, request.spec, tally.next_number)
            room = tally.room(self.target(ref, request))
            points = self._draw(ref, request, min(count, room), "")
            self.register(connection, request.worker)
            with together(connection):
                stored = self._send(connection, ref, request, points, first=tally.next_number)
        return stored()

    def draw_ahead(
        self,
        ref: StudyRef,
        request: Request,
        count: int,
        salt: str,
        also: Also,
    ) -> list[Lease]:
        """Draw from what the view shows before the study is locked, since that may take seconds.

        Args:
            ref: The study.
            request: What is asked for.
            count: How many at the most; what was drawn is fitted to what is wanted then.
            salt: As for :func:`ecd_tune.store.samplers.make_sampler`; with it, other numbers
                than those that the view expects will do.
            also: Sends what is stored in the same transaction, whatever comes of the draw; it
                changes nothing that this decides on.

        Returns:
            The leases; none when it turned out that queued trials come first, that nothing is
            wanted any more, that the study was deleted or that somebody else took the numbers.
        """
        first = self.view(ref).next_number
        points = self._draw(ref, request, count, salt)
        self._register_apart(request.worker)
        with self._database.write_together() as connection:
            send_lock(connection, ref.id)
            also(connection)
            stored = self._send(connection, ref, request, points, first, anywhere=bool(salt))
        return stored()

    def register(self, connection: sa.Connection, worker: Worker) -> None:
        """Write a worker's row, unless that was done a moment ago.

        The heartbeat says often enough that the worker is alive; its row is needed once.

        Args:
            connection: A write transaction.
            worker: The worker.
        """
        if self._is_due(worker):
            register(connection, worker)
            self._registered[worker.id] = time.monotonic()

    def _register_apart(self, worker: Worker) -> None:
        # Beforehand, since it is rare and what travels together is not its place.
        if self._is_due(worker):
            with self._database.write() as connection:
                self.register(connection, worker)

    def _is_due(self, worker: Worker) -> bool:
        seen = self._registered.get(worker.id, -math.inf)
        return time.monotonic() - seen > self._lease_seconds / 3

    def _draw(self, ref: StudyRef, request: Request, count: int, salt: str) -> list[Point]:
        spec, optimizer, view = request.spec, request.optimizer, self.view(ref)
        sampler = make_sampler(spec, optimizer, view.next_number, salt=salt)
        return view.draw(spec.optimizers[optimizer].space, count, sampler)

    def _send(
        self,
        connection: sa.Connection,
        ref: StudyRef,
        request: Request,
        points: Sequence[Point],
        first: int,
        anywhere: bool = False,
    ) -> Callable[[], list[Lease]]:
        """Insert drawn points; what is returned waits for them, once the transaction is over."""
        if not points:
            return list
        spec = request.spec
        drafts = [_draft(point, spec.search_seed(at)) for at, point in enumerate(points, first)]
        _send_study_attrs(connection, ref.id, self.view(ref).changed_study_attrs)
        fingerprint, target = self._known.fingerprint(ref.key), self.target(ref, request)
        opening = Opening(ref.id, ref.key, fingerprint, target, first, anywhere)
        grant = Grant(request.worker, self._lease_seconds, request.batch)
        answer = send_leased(connection, opening, drafts, grant)

        def leases() -> list[Lease]:
            stored = answer()
            self._keep(ref, spec, stored)
            return [
                Lease(
                    key=ref.key,
                    trial_id=trial_id,
                    number=number,
                    token=token,
                    attempt=1,
                    request=RunRequest(draft.params, spec.search_seed(number), ref.key.stage),
                )
                for (number, trial_id, token), draft in zip(stored, drafts, strict=False)
            ]

        return leases

    def _keep(self, ref: StudyRef, spec: StudySpec, stored: Sequence[tuple[int, int, int]]) -> None:
        """Note in the view which of the points that it shows are stored now."""
        if not stored:
            return
        view, (first, _, _) = self.view(ref), stored[0]
        if is_blind(spec):
            view.skip_to(first + len(stored))
        elif first == view.next_number:
            view.adopt([trial_id for _, trial_id, _ in stored])


def _draft(point: Point, seed: int) -> Draft:
    return Draft(
        params=point.params,
        distributions=point.distributions,
        source="sampler",
        seed=seed,
        system_attrs=point.system_attrs,
    )


def _send_study_attrs(connection: sa.Connection, study_id: int, attrs: Mapping[str, Any]) -> None:
    rows = [
        {"study_id": study_id, "key": key, "value_json": optuna_schema.dump_attr(value)}
        for key, value in attrs.items()
    ]
    if rows:
        _STUDY_ATTR.statement.send(connection, rows)


_STUDY_ATTR = replacement(
    optuna_schema.study_system_attributes,
    *("study_id", "key", "value_json"),
    unique=("study_id", "key"),
)
