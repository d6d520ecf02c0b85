"""Hand out trials of the search: queued ones first, then new ones from the sampler."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ecd_tune.records import Lease, RunRequest
from ecd_tune.spec import StudySpec
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store._engine import Database
from ecd_tune.store._inserts import Draft, detail_calls, insert_bare
from ecd_tune.store._leases import claim_waiting, lease_calls
from ecd_tune.store._queue import (
    fail_foreign,
    foreign_rows,
    queue_grid,
    queued_values,
    store_foreign,
)
from ecd_tune.store._rows import StudyRef, lock_and_tally, lock_studies, take_tally
from ecd_tune.store._statement import run_together
from ecd_tune.store.samplers import is_blind, is_serial, make_sampler
from ecd_tune.store.view import Point, View
from ecd_tune.store.workers import Worker, register

__all__ = ["Asker", "Find", "Request"]

Find = Callable[[sa.Connection], StudyRef]


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


class Asker:
    """Hands out search trials; keeps one view per study for as long as the process lives.

    Args:
        database: The database.
        lease_seconds: Length of a lease.
    """

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database, self._lease_seconds = database, lease_seconds
        self._views: dict[int, View] = {}
        self._targets: dict[int, tuple[StudySpec, int]] = {}
        self._registered: dict[str, float] = {}
        self._shared: set[int] = set()  # studies that other processes draw for too
        self._lock = threading.Lock()

    def ask(self, find: Find, request: Request) -> list[Lease]:
        """Lease up to ``count`` trials, as :meth:`ecd_tune.store.Store.ask` says.

        Args:
            find: Finds the stored study.
            request: What is asked for.

        Returns:
            The leases.
        """
        with self._lock:
            try:
                return self._ask(find, request)
            except BaseException:
                # A view may hold trials of a transaction that was undone.
                self._views.clear()
                self._registered.clear()
                raise

    def _ask(self, find: Find, request: Request) -> list[Lease]:
        spec = request.spec
        with self._database.read() as connection:
            ref = find(connection)
            tally = take_tally(connection, ref.id)
            target = self._target(ref, spec, request.optimizer)
            if tally.next_number < self._view(ref).next_number:
                del self._views[ref.id]  # deleted and created again under the same id
            ahead = not tally.waiting and not is_serial(spec) and spec.sampler.name != "grid"
            if ahead and tally.room(target):
                self._sync(connection, ref, spec, tally.next_number)
        if spec.sampler.name == "grid" and tally.room(target):
            self._queue_grid(ref, spec, request.optimizer, target)
        elif not tally.waiting:
            # A look without a lock comes first, so that idle workers do not keep others waiting.
            return self._ask_new(ref, request, min(request.count, tally.room(target)))
        return self._ask_waiting(ref, request)

    def _target(self, ref: StudyRef, spec: StudySpec, optimizer: str) -> int:
        # Counting the points of a grid takes as long as listing them.
        known = self._targets.get(ref.id)
        if known is None or known[0] is not spec:
            known = self._targets[ref.id] = (spec, spec.trials(optimizer))
        return known[1]

    def _ask_waiting(self, ref: StudyRef, request: Request) -> list[Lease]:
        with self._database.write() as connection:
            lock_studies(connection, [ref.id])
            self._complete_foreign(connection, ref, request.spec, request.optimizer)
            claimable = take_tally(connection, ref.id).claimable(self._targets[ref.id][1])
            self._register(connection, request.worker)
            return claim_waiting(
                connection,
                ref,
                min(request.count, claimable),
                request.worker,
                self._lease_seconds,
                request.batch,
            )

    def _ask_new(self, ref: StudyRef, request: Request, count: int) -> list[Lease]:
        if count == 0 or request.spec.sampler.name == "grid":
            return []
        if is_serial(request.spec):
            return self._draw_locked(ref, request, count)
        if ref.id not in self._shared:
            leases = self._draw_ahead(ref, request, count, salt="")
            if leases is not None:
                return leases
            # Somebody else took these numbers, and has drawn the same points with the same
            # seed. With others at work it would happen again: from now on this worker's id
            # goes into the seed, and no numbers need to be the expected ones.
            self._shared.add(ref.id)
            with self._database.read() as connection:
                number = take_tally(connection, ref.id).next_number
                self._sync(connection, ref, request.spec, number)
        return self._draw_ahead(ref, request, count, salt=request.worker.id) or []

    def _draw_locked(self, ref: StudyRef, request: Request, count: int) -> list[Lease]:
        with self._database.write() as connection:
            tally = lock_and_tally(connection, ref.id)
            view = self._view(ref)
            view.sync(connection)
            room = tally.room(self._targets[ref.id][1])
            points = self._draw(view, request, min(count, room), "")
            return self._insert(connection, ref, request, points, tally.next_number)

    def _sync(self, connection: sa.Connection, ref: StudyRef, spec: StudySpec, number: int) -> None:
        if is_blind(spec):
            self._view(ref).skip_to(number)
        else:
            self._view(ref).sync(connection)

    def _draw_ahead(
        self, ref: StudyRef, request: Request, count: int, salt: str
    ) -> list[Lease] | None:
        # Sampling can take seconds: it is done before the lock is taken, and what was drawn is
        # fitted to what is left then. Without salt, None when the view was outdated by then.
        view = self._view(ref)
        first = view.next_number
        points = self._draw(view, request, count, salt)
        with self._database.write() as connection:
            tally = lock_and_tally(connection, ref.id)
            if tally.next_number != first and not salt:
                return None
            room = tally.room(self._targets[ref.id][1])
            return self._insert(connection, ref, request, points[:room], tally.next_number)

    def _draw(self, view: View, request: Request, count: int, salt: str) -> list[Point]:
        spec, optimizer = request.spec, request.optimizer
        sampler = make_sampler(spec, optimizer, view.next_number, salt=salt)
        return view.draw(spec.optimizers[optimizer].space, count, sampler)

    def _insert(
        self,
        connection: sa.Connection,
        ref: StudyRef,
        request: Request,
        points: Sequence[Point],
        first: int,
    ) -> list[Lease]:
        if not points:
            return []
        view, worker = self._view(ref), request.worker
        drafts = [
            Draft(
                params=point.params,
                distributions=point.distributions,
                source="sampler",
                seed=request.spec.search_seed(first + offset),
                system_attrs=point.system_attrs,
            )
            for offset, point in enumerate(points)
        ]
        self._register(connection, worker)
        _store_study_attrs(connection, ref.id, view.changed_study_attrs)
        ids = insert_bare(connection, ref.id, first, len(drafts), running=True)
        leases = lease_calls(ref, ids, worker, self._lease_seconds, request.batch)
        details = detail_calls(ref.id, list(zip(ids, drafts, strict=True)), worker.name)
        answers = run_together(connection, [*leases, *details])
        tokens = [token for ((token,),) in answers[: len(ids)]]
        if is_blind(request.spec):
            view.skip_to(first + len(ids))
        elif first == view.next_number:
            view.adopt(ids)
        return [
            Lease(
                key=ref.key,
                trial_id=trial_id,
                number=first + offset,
                token=token,
                attempt=1,
                request=RunRequest(draft.params, draft.seed, ref.key.stage),
            )
            for offset, (trial_id, token, draft) in enumerate(zip(ids, tokens, drafts, strict=True))
        ]

    def _register(self, connection: sa.Connection, worker: Worker) -> None:
        # The heartbeat says often enough that the worker is alive; its row is needed once.
        now = time.monotonic()
        if now - self._registered.get(worker.id, -math.inf) > self._lease_seconds / 3:
            register(connection, worker)
            self._registered[worker.id] = now

    def _queue_grid(self, ref: StudyRef, spec: StudySpec, optimizer: str, target: int) -> None:
        space = spec.optimizers[optimizer].space
        with self._database.write() as connection:
            queue_grid(connection, ref, space, target, spec.search_seed)

    def _complete_foreign(
        self, connection: sa.Connection, ref: StudyRef, spec: StudySpec, optimizer: str
    ) -> None:
        rows = foreign_rows(connection, ref.id)
        if not rows:
            return
        view = self._view(ref)
        view.sync(connection)
        space = spec.optimizers[optimizer].space
        for row in rows:
            fixed, seed = queued_values(connection, row.trial_id), spec.search_seed(row.number)
            try:
                sampler = make_sampler(spec, optimizer, row.number)
                point = view.complete(space, row.number, fixed, sampler)
            except ValueError as error:
                fail_foreign(connection, ref.id, row.trial_id, seed, f"queued: {error}")
                continue
            store_foreign(connection, ref.id, row.trial_id, point.params, point.distributions, seed)

    def _view(self, ref: StudyRef) -> View:
        view = self._views.get(ref.id)
        if view is None:
            view = self._views[ref.id] = View(ref)
        return view


def _store_study_attrs(connection: sa.Connection, study_id: int, attrs: Mapping[str, Any]) -> None:
    table = optuna_schema.study_system_attributes
    for key, value in attrs.items():
        row = {"value_json": optuna_schema.dump_attr(value)}
        where = (table.c.study_id == study_id, table.c.key == key)
        if connection.execute(sa.update(table).where(*where).values(row)).rowcount == 0:
            connection.execute(sa.insert(table).values(study_id=study_id, key=key, **row))
