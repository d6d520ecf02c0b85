"""One worker: lease trials, evaluate them, tell the store, until the study is complete."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ecd_tune.cost import EnergyMeter
from ecd_tune.errors import StorageUnavailableError
from ecd_tune.objective import CheckpointHandle, Objective
from ecd_tune.records import Lease, Outcome, Stage, StudyKey, TrialRecord
from ecd_tune.signals import HUNG_STATUS, StopFlag
from ecd_tune.spec import StudySpec, without_number
from ecd_tune.store import QueueItem, ReportBuffer, Store, Worker
from ecd_tune.worker.checkpoint_storage.base import Checkpoints
from ecd_tune.worker.confirmation import confirmation_items, selection_items
from ecd_tune.worker.failures import FailureStreak
from ecd_tune.worker.feed import Feed
from ecd_tune.worker.heartbeat import Heartbeat
from ecd_tune.worker.lanes import follow, train_lanes
from ecd_tune.worker.lease_runner import LeaseRunner
from ecd_tune.worker.pausing import TrialPauser
from ecd_tune.worker.pruning import TrialPruner
from ecd_tune.worker.release import release_on_error
from ecd_tune.worker.remaining_work import RemainingWork
from ecd_tune.worker.trial_log import TrialLog
from ecd_tune.worker.warm_start import first_items

__all__ = ["StudyWorker", "WorkerSummary"]

_log = logging.getLogger(__name__)

_CONFIRM_BATCH = 100
_AHEAD_SHARE = 4  # of the lanes' number, as many trials are kept ready
_IDLE_SECONDS = 0.25
_LONGEST_IDLE_SECONDS = 5.0
_IDLE_SHARE = 0.25  # a waiting worker asks again after this share of its waiting time


@dataclass(frozen=True)
class WorkerSummary:
    """Summary of one worker.

    Attributes:
        told: Results that the store accepted.
        refused: Results that were too late: another worker had the lease.
        interrupted: True when a signal ended the work; its trials are queued again.
    """

    told: int = 0
    refused: int = 0
    interrupted: bool = False


class StudyWorker:
    """Works on one study until it is complete, or until a signal.

    Search first; of a search that is complete the best trials are run again where the study asks
    for it, and the best one is then confirmed. Of several searches the one with the fewest
    running trials comes first, so that workers spread over them and each sampler sees as much as
    it can.

    Args:
        store: The shared store; the study is created there when it is not.
        spec: The study, with the command line's changes applied.
        stop: Polled between and during evaluations.
        on_told: Called after each tell, for a progress display.
        checkpoints: Where runs that go step by step are saved and found again; None nowhere.
        on_step: Called before each step of a task that has epochs, with its lease, the steps
            done and all steps; for a progress bar.
        leave: Ends this process with a status if a run that exceeds its time limit cannot be ended
            otherwise; by default an error is logged.
    """

    def __init__(
        self,
        store: Store,
        spec: StudySpec,
        stop: StopFlag,
        on_told: Callable[[WorkerSummary], None] = lambda summary: None,
        checkpoints: Checkpoints | None = None,
        on_step: Callable[[Lease, int, int], None] | None = None,
        leave: Callable[[int], object] | None = None,
    ) -> None:
        self._study, spec = spec, spec.by_search()
        self._store, self._spec, self._stop, self._on_told = store, spec, stop, on_told
        self._leave = leave
        store.set_stop_signal(stop)
        # One for all searches of an optimizer, because it holds the task's data.
        own = {key: Objective(self._study, key) for key in self._study.optimizers}
        self._objectives = {key: own[without_number(key)] for key in spec.optimizers}
        self._pauser = TrialPauser(spec, checkpoints)
        prunes = spec.pruning.kind != "none" and not spec.pruning.resume
        keys = spec.optimizers if prunes else ()
        self._pruners = {key: TrialPruner(store, spec, key) for key in keys}
        self._worker = Worker.current()
        self._meter = EnergyMeter(spec.cost.intensity.kg_per_kwh, spec.cost.tdp_watts)
        self._heartbeat = Heartbeat(store.renew, store.lease_seconds / 3)
        self._checkpoints, self._reports = checkpoints, ReportBuffer(store.report)
        self._runner = LeaseRunner(
            spec,
            self._reports,
            self._handle,
            self._ends,
            self._pruner,
            on_step,
            self._pauser.request,
            self._give_up,
        )
        limit = spec.retries.stop_worker_after
        self._streaks = {key: FailureStreak(limit, spec.name) for key in self._study.optimizers}
        self._lanes: int | None = None
        self._ready: set[tuple[str, Stage]] = set()
        self._queued: set[tuple[str, Stage]] = set()
        self._work_left = RemainingWork(store, spec)
        searched = {key: optimizer.space.searched for key, optimizer in spec.optimizers.items()}
        self._trial_log = TrialLog(spec.task_def.direction, self._work_left.best, searched)
        self._summary = WorkerSummary()

    def run(self) -> WorkerSummary:
        """Work until the study is complete or a signal comes.

        While the database is unavailable a running trial continues, and its result waits.

        Returns:
            The summary.

        Raises:
            RepeatedFailureError: Trials failed one after the other for the same reason.
            StorageUnavailableError: The database was away for too long, or its file replaced.
        """
        self._store.create(self._study)
        self._queue_first()
        busy = time.monotonic()
        try:
            while not self._stop():
                leases = self._next_leases()
                if leases:
                    self._evaluate(leases)
                    busy = time.monotonic()
                elif self._all_queued() and self._work_left.complete():
                    self._pauser.discard_paused()
                    break
                else:
                    self._stop.wait(self._idle_pause(time.monotonic() - busy))
        except StorageUnavailableError as error:
            if not self._stop():
                raise
            _log.warning("stopped while the database is unavailable: %s", error)
        return replace(self._summary, interrupted=self._stop())

    def _idle_pause(self, idle: float) -> float:
        """Return the time until the next ask; it grows, as many workers can wait for one trial."""
        longest = min(_LONGEST_IDLE_SECONDS, self._store.lease_seconds / 3)
        return max(_IDLE_SECONDS, min(_IDLE_SHARE * idle, longest))

    def _next_leases(self) -> list[Lease]:
        self._reap()
        order = self._work_left.sorted_by_need()
        for optimizer in order:
            if not self._prepare(optimizer, Stage.SEARCH):
                continue
            count = self._width(optimizer, Stage.SEARCH)
            leases = self._store.ask(self._spec, optimizer, count=count, worker=self._worker)
            if leases:
                return leases
        for optimizer in order:
            for stage in self._reruns:
                leases = self._rerun(optimizer, stage)
                if leases:
                    return leases
        return []

    def _queue_first(self) -> None:
        for optimizer in self._spec.optimizers:
            if not self._work_left.progress(Stage.SEARCH)[optimizer].finished:
                items = first_items(self._store, self._spec, optimizer)
                if items:
                    self._store.queue(self._spec.key(optimizer), items)

    @property
    def _reruns(self) -> tuple[Stage, ...]:
        stages = self._spec.stages[1:]
        return stages if self._spec.confirmation.runs else stages[:-1]

    def _all_queued(self) -> bool:
        # Otherwise, if another worker's last trial ends now, only that worker would run its
        # confirmation.
        wanted = {(key, stage) for key in self._spec.optimizers for stage in self._reruns}
        return wanted <= self._queued

    def _rerun(self, optimizer: str, stage: Stage) -> list[Lease]:
        """Lease runs of a stage after the search; the first worker queues them."""
        before = self._reruns[: self._reruns.index(stage)]
        # Queued first: a search that ends this moment has nothing waiting, nor running.
        if not self._work_left.searched(optimizer) or not all(
            (optimizer, earlier) in self._queued and self._work_left.ended(optimizer, earlier)
            for earlier in before
        ):
            return []
        key = self._spec.key(optimizer, stage)
        if (optimizer, stage) not in self._queued:
            self._store.queue(key, self._items(optimizer, stage))
            self._queued.add((optimizer, stage))
        if not self._prepare(optimizer, stage):
            return []
        count = self._width(optimizer, stage)
        return self._store.claim(key, count=count, worker=self._worker)

    def _items(self, optimizer: str, stage: Stage) -> list[QueueItem]:
        found = [
            self._store.trials(self._spec.key(optimizer, earlier), curves=False)
            for earlier in self._spec.stages[: self._spec.stages.index(stage)]
        ]
        make = confirmation_items if stage is Stage.CONFIRM else selection_items
        return make(self._spec, optimizer, *found)

    def _prepare(self, optimizer: str, stage: Stage) -> bool:
        """Load task and optimizer before a lease: a signal would have to wait for it.

        Returns:
            False when there is nothing to do: then nothing is loaded.
        """
        if stage is Stage.SEARCH and self._work_left.known_searched(optimizer):
            return False
        if (optimizer, stage) not in self._ready:
            if stage is Stage.SEARCH and self._work_left.searched(optimizer):
                return False
            if stage is not Stage.SEARCH and not self._work_left.progress(stage)[optimizer].waiting:
                return False
            self._objectives[optimizer].prepare(self._spec.key(optimizer, stage).data_stage)
            self._ready.add((optimizer, stage))
        return True

    def _width(self, optimizer: str, stage: Stage) -> int:
        """Return how many trials of an optimizer are run at once."""
        objective, bound = self._objectives[optimizer], self._spec.budget.batch
        if objective.batched:
            return bound if stage is Stage.SEARCH else _CONFIRM_BATCH
        if bound == 1 or self._spec.budget.timeout is not None:
            return 1  # trained together, each would wait for the others
        stage = self._spec.key(optimizer, stage).data_stage
        if objective.why_not_stacked(stage):
            return 1
        if self._lanes is None:  # a matter of the network, and hardly of its optimizer
            self._lanes = objective.width(stage, bound)
        return self._lanes

    def _evaluate(self, leases: Sequence[Lease]) -> None:
        key = leases[0].key
        objective = self._objectives[key.optimizer]
        if not objective.batched and self._width(key.optimizer, key.stage) > 1:
            self._train_lanes(leases)
            return
        # Trials that run one by one are told one by one, so that a signal costs only one run.
        groups = [leases] if objective.batched else [[lease] for lease in leases]
        left = list(leases)
        with release_on_error(self._store, lambda: left), self._heartbeat.holding(leases):
            for group in groups:
                began = self._meter.start()
                outcomes = self._meter.charge(self._runner.run(objective, group), began)
                self._tell(group, outcomes)
                del left[: len(group)]
                self._note_failures(leases[0].key, outcomes)

    def _train_lanes(self, leases: Sequence[Lease]) -> None:
        """Train these trials and those that follow, many at once, until there are none."""
        key = leases[0].key
        width = self._width(key.optimizer, key.stage)
        began = self._meter.start()

        def ask(count: int) -> list[Lease]:
            self._reap()
            if key.stage is not Stage.SEARCH:
                return self._store.claim(key, count=count, worker=self._worker)
            return self._store.ask(self._spec, key.optimizer, count=count, worker=self._worker)

        def tell(results: Sequence[tuple[Lease, Outcome]]) -> None:
            told, found = zip(*results, strict=True)
            outcomes = self._meter.charge(found, began)
            self._tell(told, outcomes)
            self._note_failures(key, outcomes)

        feed = Feed(leases, ask, tell, max(1, width // _AHEAD_SHARE), self._ends)
        pruner = self._pruner(key)
        with (
            release_on_error(self._store, lambda: feed.leases),
            self._heartbeat.holding(lambda: feed.leases),
            self._reports.flushing(),
        ):
            objective = self._objectives[key.optimizer]
            callbacks = partial(follow, self._reports, pruner)
            train_lanes(
                objective,
                key.data_stage,
                feed,
                width,
                callbacks,
                self._ends,
                self._handle,
                self._pauser.request,
            )

    def _pruner(self, key: StudyKey) -> TrialPruner | None:
        return self._pruners.get(key.optimizer) if key.stage is Stage.SEARCH else None

    def _note_failures(self, key: StudyKey, outcomes: Sequence[Outcome]) -> None:
        def stored() -> list[TrialRecord]:
            keys = self._study.searches(without_number(key.optimizer))
            found = (self._spec.key(search, key.stage) for search in keys)
            return [r for k in found for r in self._store.trials(k, curves=False)]

        self._streaks[without_number(key.optimizer)].add(outcomes, stored)

    def _handle(self, lease: Lease) -> CheckpointHandle | None:
        return None if self._checkpoints is None else self._checkpoints.handle(lease)

    def _ends(self) -> bool:
        return self._stop() or self._heartbeat.storage_replaced

    def _tell(self, leases: Sequence[Lease], outcomes: Sequence[Outcome]) -> None:
        key = leases[0].key
        origin = self._objectives[key.optimizer].origin(key.data_stage)
        outcomes = [replace(outcome, origin=origin) for outcome in outcomes]
        results = self._pauser.mark(leases, outcomes)
        taken = self._store.tell(results, self._reports.take(leases))
        for (lease, outcome), accepted in zip(results, taken, strict=True):
            if not accepted:
                _log.warning("%s #%d: result came too late", lease.key.name, lease.number)
                continue
            self._trial_log.add(lease, outcome)
            self._pauser.discard(lease, outcome)
        self._summary = replace(
            self._summary,
            told=self._summary.told + sum(taken),
            refused=self._summary.refused + len(taken) - sum(taken),
        )
        self._on_told(self._summary)

    def _give_up(self, results: Sequence[tuple[Lease, Outcome]]) -> None:
        """Exit if a run does not return; called from another thread."""
        if self._leave is None:
            _log.error(
                "a trial has exceeded its time limit and cannot be interrupted, because it does "
                "not return to Python; with workers=2 or more, trials run in processes that can "
                "be ended"
            )
            return
        self._store.tell(results)
        _log.error("a trial has exceeded its time limit and does not return to Python: exiting")
        self._leave(HUNG_STATUS)

    def _reap(self) -> None:
        lost = self._store.reap_in_turn(self._work_left.keys)
        if lost:
            _log.info("re-queued %d trials of dead workers", lost)
