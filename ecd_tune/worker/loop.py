"""One worker: lease trials, evaluate them, tell the store, until the study is complete."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ecd_tune.cost import Meter
from ecd_tune.errors import StorageUnavailableError
from ecd_tune.objective import Interrupted, Objective
from ecd_tune.records import Lease, Outcome, Stage, StudyKey
from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec
from ecd_tune.store import Progress, ReportBuffer, Store, Worker
from ecd_tune.worker.checkpoints import Checkpoints
from ecd_tune.worker.confirmation import confirmation_items, first_items
from ecd_tune.worker.failures import FailureStreak
from ecd_tune.worker.heartbeat import Heartbeat
from ecd_tune.worker.pruning import TrialPruner

__all__ = ["StudyWorker", "WorkerSummary"]

_log = logging.getLogger(__name__)

_CONFIRM_BATCH = 100
_IDLE_SECONDS = 0.25
_ORDER_SECONDS = 1.0
_REAP_SECONDS = 1.0


@dataclass(frozen=True)
class WorkerSummary:
    """What one worker did.

    Attributes:
        told: Results that the store took.
        refused: Results that came too late: the lease had gone to somebody else.
        interrupted: True when a signal ended the work; its trials are queued again.
    """

    told: int = 0
    refused: int = 0
    interrupted: bool = False


class StudyWorker:
    """Works on one study until nothing is left to do, or a signal comes.

    Search first; an optimizer whose search is complete is then confirmed. Of several optimizers
    the one with the fewest running trials comes first, so that workers spread over them and
    each optimizer's sampler sees as much as it can.

    Args:
        store: The shared store; the study is created there when it is not.
        spec: The study, with the command line's changes applied.
        stop: Polled between and during evaluations.
        on_told: Called after each tell, for a progress display.
        checkpoints: Where runs that go step by step are saved and found again; None nowhere.
        on_step: Called before each step of a task that has epochs, with its lease, the steps
            done and all steps; for a progress bar.
    """

    def __init__(
        self,
        store: Store,
        spec: StudySpec,
        stop: StopFlag,
        on_told: Callable[[WorkerSummary], None] = lambda summary: None,
        checkpoints: Checkpoints | None = None,
        on_step: Callable[[Lease, int, int], None] | None = None,
    ) -> None:
        self._store, self._spec, self._stop, self._on_told = store, spec, stop, on_told
        self._on_step = on_step
        store.set_stop_signal(stop)
        self._objectives = {key: Objective(spec, key) for key in spec.optimizers}
        prunes = spec.pruning.kind != "none"
        keys = spec.optimizers if prunes else ()
        self._pruners = {key: TrialPruner(store, spec, key) for key in keys}
        self._worker = Worker.current()
        self._meter = Meter(spec.cost.intensity.kg_per_kwh, spec.cost.tdp_watts)
        self._heartbeat = Heartbeat(store.renew, store.lease_seconds / 3)
        self._checkpoints, self._reports = checkpoints, ReportBuffer(store.report)
        limit = spec.retries.stop_worker_after
        self._streaks = {key: FailureStreak(limit) for key in spec.optimizers}
        self._ready: set[tuple[str, Stage]] = set()
        self._searched: set[str] = set()
        self._queued: set[str] = set()
        self._order = list(spec.optimizers)
        self._order_due = self._reap_due = time.monotonic()
        self._summary = WorkerSummary()

    def run(self) -> WorkerSummary:
        """Work until the study is complete or a signal comes.

        While the database is away a trial in hand goes on, and its result waits.

        Returns:
            What was done.

        Raises:
            RepeatedFailureError: Trials failed one after the other for the same reason.
            StorageUnavailableError: The database was away for too long, or its file replaced.
        """
        self._store.create(self._spec)
        self._queue_first()
        try:
            while not self._stop():
                leases = self._next_leases()
                if leases:
                    self._evaluate(leases)
                elif self._complete():
                    break
                else:
                    self._stop.wait(_IDLE_SECONDS)
        except StorageUnavailableError as error:
            if not self._stop():
                raise
            _log.warning("stopped while the database is away: %s", error)
        return replace(self._summary, interrupted=self._stop())

    def _next_leases(self) -> list[Lease]:
        self._reap()
        self._sort_by_need()
        for optimizer in self._order:
            if optimizer in self._searched or not self._prepare(optimizer, Stage.SEARCH):
                continue
            leases = self._store.ask(
                self._spec, optimizer, count=self._spec.budget.batch, worker=self._worker
            )
            if leases:
                return leases
        for optimizer in self._order:
            leases = self._confirm(optimizer)
            if leases:
                return leases
        return []

    def _queue_first(self) -> None:
        for optimizer in self._spec.optimizers:
            items = first_items(self._spec, optimizer)
            if items and not self._progress(Stage.SEARCH)[optimizer].finished:
                self._store.queue(self._spec.key(optimizer), items)

    def _confirm(self, optimizer: str) -> list[Lease]:
        if not self._spec.confirmation.runs or not self._search_complete(optimizer):
            return []
        key = self._spec.key(optimizer, Stage.CONFIRM)
        if optimizer not in self._queued:
            search = self._store.trials(self._spec.key(optimizer), curves=False)
            self._store.queue(key, confirmation_items(self._spec, optimizer, search))
            self._queued.add(optimizer)
        if not self._prepare(optimizer, Stage.CONFIRM):
            return []
        count = _CONFIRM_BATCH if self._objectives[optimizer].batched else 1
        return self._store.claim(key, count=count, worker=self._worker)

    def _prepare(self, optimizer: str, stage: Stage) -> bool:
        """Load what the trials need, before one is in hand that a signal would have to wait for.

        Returns:
            False when there is nothing to do: then nothing is loaded.
        """
        if (optimizer, stage) not in self._ready:
            if stage is Stage.SEARCH and self._search_complete(optimizer):
                return False
            if stage is Stage.CONFIRM and not self._progress(stage)[optimizer].waiting:
                return False
            self._objectives[optimizer].prepare(stage)
            self._ready.add((optimizer, stage))
        return True

    def _evaluate(self, leases: Sequence[Lease]) -> None:
        objective = self._objectives[leases[0].key.optimizer]
        # What runs one by one is told one by one, so that a signal costs one run and not all.
        groups = [leases] if objective.batched else [[lease] for lease in leases]
        left = list(leases)
        try:
            with self._heartbeat.holding(leases):
                for group in groups:
                    began = self._meter.start()
                    outcomes = self._meter.charge(self._run(objective, group), began)
                    self._tell(group, outcomes)
                    del left[: len(group)]
                    self._note_failures(leases[0].key, outcomes)
        except Interrupted:
            self._store.release(left)
        except StorageUnavailableError:
            raise
        except BaseException as error:
            # What cannot even begin here may run elsewhere.
            self._store.release(left, f"its worker ended with {type(error).__name__}: {error}")
            raise

    def _note_failures(self, key: StudyKey, outcomes: Sequence[Outcome]) -> None:
        def ended_well() -> bool:
            progress = self._progress(key.stage)[key.optimizer]
            return progress.complete + progress.pruned > 0

        self._streaks[key.optimizer].add(outcomes, ended_well)

    def _run(self, objective: Objective, leases: Sequence[Lease]) -> list[Outcome]:
        requests = [lease.request for lease in leases]
        if objective.batched:
            return objective.evaluate(requests, stop=self._ends)
        kept = self._checkpoints
        slots = None if kept is None else [kept.slot(lease) for lease in leases]
        pruner = self._pruners.get(leases[0].key.optimizer)
        points: list[dict[int, float]] = [{} for _ in leases]

        def report(row: int, step: int, value: float) -> None:
            points[row][step] = value
            self._reports.report(leases[row], step, value)

        def prune(row: int) -> str | None:
            return None if pruner is None else pruner.decide(leases[row], points[row])

        def tick(row: int, step: int, steps: int) -> None:
            if self._on_step is not None:
                self._on_step(leases[row], step, steps)

        with self._reports.flushing():
            return objective.evaluate(
                requests, stop=self._ends, checkpoints=slots, report=report, prune=prune, tick=tick
            )

    def _ends(self) -> bool:
        return self._stop() or self._heartbeat.storage_replaced

    def _tell(self, leases: Sequence[Lease], outcomes: Sequence[Outcome]) -> None:
        results = list(zip(leases, outcomes, strict=True))
        taken = self._store.tell(results, self._reports.take())
        for lease, accepted in zip(leases, taken, strict=True):
            if accepted and self._checkpoints is not None:
                self._checkpoints.discard(lease)
            if not accepted:
                _log.warning("%s #%d: result came too late", lease.key.name, lease.number)
        self._summary = replace(
            self._summary,
            told=self._summary.told + sum(taken),
            refused=self._summary.refused + len(taken) - sum(taken),
        )
        self._on_told(self._summary)

    def _reap(self) -> None:
        if time.monotonic() >= self._reap_due:
            lost = self._store.reap(self._keys())
            if lost:
                _log.info("%d trials of workers that are gone were queued again", lost)
            self._reap_due = time.monotonic() + _REAP_SECONDS

    def _keys(self) -> list[StudyKey]:
        return [self._spec.key(key, stage) for key in self._spec.optimizers for stage in Stage]

    def _progress(self, stage: Stage) -> dict[str, Progress]:
        wanted = {self._spec.key(key, stage): key for key in self._spec.optimizers}
        return {
            wanted[progress.key]: progress
            for progress in self._store.progress(self._spec.name)
            if progress.key in wanted
        }

    def _sort_by_need(self) -> None:
        # A hint only, so that it may be a second old; with one worker the order of the file.
        if len(self._order) == 1 or time.monotonic() < self._order_due:
            return
        running = dict.fromkeys(self._spec.optimizers, 0)
        for stage in Stage:
            for optimizer, progress in self._progress(stage).items():
                running[optimizer] += progress.running
        self._order = sorted(self._spec.optimizers, key=lambda optimizer: running[optimizer])
        self._order_due = time.monotonic() + _ORDER_SECONDS

    def _search_complete(self, optimizer: str) -> bool:
        if optimizer not in self._searched:
            finished = self._progress(Stage.SEARCH)[optimizer].finished
            if finished >= self._spec.trials(optimizer):
                self._searched.add(optimizer)
        return optimizer in self._searched

    def _complete(self) -> bool:
        searches = all(self._search_complete(key) for key in self._spec.optimizers)
        confirms = self._progress(Stage.CONFIRM).values()
        return searches and all(p.running == 0 and p.waiting == 0 for p in confirms)
