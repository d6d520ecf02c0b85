"""Several processes: creation, claims and budget at the same moment, and a kill."""

from __future__ import annotations

import os
import signal

from ecd_tune.records import Stage, TrialState
from ecd_tune.store import QueueItem, Store
from ecd_tune.testing.store.fixtures import StoreFixtures
from ecd_tune.testing.store.processes import (
    PROCESSES,
    claim_at_signal,
    create_at_signal,
    hold,
    in_processes,
    work_at_signal,
)
from ecd_tune.testing.store.study import OPTIMIZER, complete, make_spec, work

__all__ = ["SharingContract"]


class SharingContract(StoreFixtures):
    """Several processes: creation, claims and budget at the same moment, and a kill."""

    def test_many_processes_create_the_schema_at_once(self, url: str) -> None:
        """64 first starts at the same moment all succeed."""
        assert in_processes(64, create_at_signal, url, make_spec()) == [["contract"]] * 64

    def test_no_queued_trial_is_claimed_twice(self, store: Store, url: str) -> None:
        """1000 queued trials, 16 workers."""
        spec = make_spec()
        store.create(spec)
        key = spec.key(OPTIMIZER, Stage.CONFIRM)
        items = [QueueItem(f"n:{seed}", {"lr": 0.1, "eta": 1.0}, seed) for seed in range(1000)]
        assert store.queue(key, items) == 1000
        claimed = in_processes(16, claim_at_signal, url, spec)
        assert sorted(number for numbers in claimed for number in numbers) == list(range(1000))
        assert sum(bool(numbers) for numbers in claimed) > 1, "only one of them worked"

    def test_processes_share_the_budget_exactly(self, store: Store, url: str) -> None:
        """16 workers finish N trials for a budget of N, and draw no point twice."""
        spec = make_spec(trials=251)
        store.create(spec)
        told = in_processes(16, work_at_signal, url, spec)
        assert sum(told) == 251
        assert sum(count > 0 for count in told) > 1, "only one of them worked"
        records = store.trials(spec.key(OPTIMIZER))
        assert [record.number for record in records] == list(range(251))
        assert all(record.state is TrialState.COMPLETE for record in records)
        assert len({tuple(record.params.items()) for record in records}) == 251

    def test_killed_worker_loses_no_trial(self, store: Store, url: str) -> None:
        """Its trials are queued again at once, once, as they were; the study ends exactly."""
        spec, ready = make_spec("tpe", trials=9), PROCESSES.Queue()
        store.create(spec)
        store.tell(complete(self.ask(store, spec, 2)))
        child = PROCESSES.Process(target=hold, args=(url, spec, 3, ready))
        child.start()
        assert ready.get() == 3
        assert store.reap() == 0, "the process is alive and its lease is fresh"
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert store.reap() == 3
        assert store.reap() == 0
        work(url, spec, 4)
        records = store.trials(spec.key(OPTIMIZER))
        lost = [record for record in records if record.lost]
        copies = [record for record in records if record.attempt == 2]
        assert [(r.params, r.seed, r.source) for r in lost] == [
            (r.params, r.seed, r.source) for r in copies
        ]
        assert sum(record.counts for record in records) == 9
        assert self.search(store, spec).remaining == 0
