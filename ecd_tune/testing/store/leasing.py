"""Leases: given back, expired, fenced, reaped once."""

from __future__ import annotations

import time
from collections import Counter

import optuna

from ecd_tune.records import Outcome, Rung, Stage, Status, TrialState
from ecd_tune.spec import choose_promoted
from ecd_tune.store import QueueItem, Store, Worker
from ecd_tune.testing.store.fixtures import StoreFixtures
from ecd_tune.testing.store.processes import at_once
from ecd_tune.testing.store.study import OPTIMIZER, complete, make_spec, plain_optuna

__all__ = ["LeasingContract"]


class LeasingContract(StoreFixtures):
    """Leases: given back, expired, fenced, reaped once."""

    def test_released_trials_run_again_with_their_seed(self, store: Store) -> None:
        """The interrupted attempt is history, and does not count."""
        spec = make_spec(trials=3)
        store.create(spec)
        leases = self.ask(store, spec, 2)
        assert store.release(leases[:1]) == 1
        assert store.release(leases[:1]) == 0
        (again, fresh) = (self.ask(store, spec, 1), self.ask(store, spec, 5))
        assert again[0].request == leases[0].request
        assert (again[0].attempt, again[0].number) == (2, 2)
        assert [lease.number for lease in fresh] == [3]
        store.tell(complete([leases[1], *again, *fresh]))
        records = store.trials(spec.key(OPTIMIZER))
        assert [record.lost for record in records] == [True, False, False, False]
        assert sum(record.counts for record in records) == 3
        assert [event.kind for event in store.events("contract")] == ["released"]

    def test_released_trials_return_to_their_own_study(self, store: Store, worker: Worker) -> None:
        """Given back by one call, as by a worker that ends."""
        spec = make_spec(trials=2)
        store.create(spec)
        confirm = spec.key(OPTIMIZER, Stage.CONFIRM)
        store.queue(confirm, [QueueItem("best:0", {"lr": 0.1, "eta": 1.0}, 7)])
        leases = [*self.ask(store, spec, 1), *store.claim(confirm, count=1, worker=worker)]
        assert store.release(leases) == 2
        for lease in leases:
            given_back, copy = store.trials(lease.key)
            assert (given_back.lost, copy.state) == (True, TrialState.WAITING)
            assert (copy.params, copy.seed) == (lease.request.params, lease.request.seed)

    def test_retry_refers_to_its_first_attempt_in_optuna(self, store: Store, url: str) -> None:
        """By its own names for a retried trial."""
        spec = make_spec(trials=2)
        store.create(spec)
        first, other = self.ask(store, spec, 2)
        store.release([first])
        store.release(self.ask(store, spec, 1))
        store.tell(complete([other, *self.ask(store, spec, 1)]))
        with plain_optuna(url) as study:
            attrs = [trial.system_attrs for trial in study.trials]
        assert attrs == [
            {},
            {},
            {"retry_history": [0], "failed_trial": 0},
            {"retry_history": [0, 2], "failed_trial": 0},
        ]

    def test_late_results_are_refused_and_logged(self, store: Store) -> None:
        """The trial belongs to someone else by then."""
        spec = make_spec()
        store.create(spec)
        (late, timely) = self.ask(store, spec, 2)
        store.release([late])
        (second,) = self.ask(store, spec, 1)
        assert store.tell(complete([late, timely])) == [False, True]
        assert store.tell(complete([timely])) == [False]
        assert store.tell(complete([second])) == [True]
        record = store.trials(spec.key(OPTIMIZER))[late.number]
        assert (record.state, record.value) == (TrialState.FAIL, None)
        kinds = Counter(event.kind for event in store.events("contract"))
        assert kinds == {"released": 1, "fenced": 2}

    def test_trial_ended_by_plain_optuna_is_not_ended_twice(self, store: Store, url: str) -> None:
        """Its value is kept; the worker's result is rejected and recorded, with or without one."""
        spec = make_spec(trials=4)
        store.create(spec)
        first, second, third = self.ask(store, spec, 3)
        with plain_optuna(url) as study:
            study.tell(first.number, 12.5)
            study.tell(second.number, state=optuna.trial.TrialState.FAIL)
        failed = (second, Outcome(Status.FAILED, None, reason="too late"))
        assert store.tell([*complete([first]), failed, *complete([third])]) == [False, False, True]
        records = store.trials(spec.key(OPTIMIZER))
        assert [record.state for record in records] == [
            TrialState.COMPLETE,
            TrialState.FAIL,
            TrialState.COMPLETE,
        ]
        assert records[0].value == 12.5
        assert records[1].reason is None
        assert [event.kind for event in store.events("contract")] == ["fenced", "fenced"]

    def test_tokens_cannot_be_guessed(self, store: Store) -> None:
        """63 random bits: each of the upper ones is both 0 and 1 among 64 tokens."""
        spec = make_spec(trials=64)
        store.create(spec)
        tokens = [lease.token for lease in self.ask(store, spec, 64)]
        assert len(set(tokens)) == 64
        for bit in range(63):
            assert {token >> bit & 1 for token in tokens} == {0, 1}

    def test_only_unrenewed_leases_are_reaped(self, url: str) -> None:
        """Independently of clocks; the copy keeps parameters, seed and source."""
        spec = make_spec()
        key = spec.key(OPTIMIZER)
        with Store.open(url, lease_seconds=0.1) as reaper, Store.open(url) as store:
            store.create(spec)
            kept, expired = self.ask(store, spec, 2)
            reaped = []
            for _ in range(4):
                assert store.renew([kept]) == [True]
                reaped.append(reaper.reap([key]))
                time.sleep(0.05)
            assert reaped == [0, 0, 0, 1]
            assert store.renew([kept, expired]) == [True, False]
            (again,) = self.ask(store, spec, 1)
            assert again.request == expired.request
            assert again.attempt == 2

    def test_no_reaping_right_after_a_long_pause(self, url: str) -> None:
        """The workers may have waited for the same outage."""
        spec = make_spec()
        with Store.open(url, lease_seconds=0.05) as reaper:
            reaper.create(spec)
            (lease,) = self.ask(reaper, spec, 1)
            assert reaper.reap() == 0
            time.sleep(0.2)
            assert reaper.reap() == 0
            assert reaper.renew([lease]) == [True]
            assert reaper.reap() == 0

    def test_racing_reapers_queue_each_trial_once(self, url: str) -> None:
        """Four reapers at the same moment, over and over."""
        spec = make_spec(trials=40, retries={"lost": 5})
        with Store.open(url, lease_seconds=0.02) as store:
            store.create(spec)
            for _ in range(5):
                count = len(self.ask(store, spec, 8))
                for _ in range(3):
                    assert store.reap() == 0
                    time.sleep(0.02)
                assert sum(at_once(4, store.reap)) == count
            records = store.trials(spec.key(OPTIMIZER))
            assert sum(record.state is TrialState.WAITING for record in records) == 8
            assert sum(record.lost for record in records) == 40

    def test_each_trial_of_a_rung_is_promoted_once(self, store: Store) -> None:
        """Three workers tell at the same time; none is left that should go on."""
        spec, reduction = make_spec(trials=12), 2
        store.create(spec)

        def work() -> list[tuple[int, int]]:
            ran = []
            while leases := self.ask(store, spec, 1):
                (lease,) = leases
                ran.append((lease.request.seed, lease.promotions))
                value = float(lease.request.seed * 7 % 12)
                if lease.promotions < 2:
                    rung = Rung(0, lease.promotions, reduction)
                    outcome = Outcome(Status.PRUNED, value, reason="paused", rung=rung)
                else:
                    outcome = Outcome(Status.COMPLETE, value)
                assert store.tell([(lease, outcome)]) == [True]
            return ran

        ran = [run for runs in at_once(3, work) for run in runs]
        assert len(ran) == len(set(ran))
        losses = {seed: float(seed * 7 % 12) for seed, _ in ran}
        for rung in (0, 1):
            reached = {seed: losses[seed] for seed, stands in ran if stands == rung}
            promoted = {seed for seed, stands in ran if stands == rung + 1}
            assert len(promoted) >= len(reached) // reduction
            assert choose_promoted(reached, promoted, reduction) == []
        assert self.search(store, spec).finished == 12
