"""Trying again, by cause, and giving up."""

from __future__ import annotations

import math

from ecd_tune.records import Cause, Outcome, Status, TrialState
from ecd_tune.store import Store
from ecd_tune.testing.store.fixtures import StoreFixtures
from ecd_tune.testing.store.study import (
    OPTIMIZER,
    complete,
    make_spec,
    plain_optuna,
    reap_expired,
)

__all__ = ["RetryingContract"]


class RetryingContract(StoreFixtures):
    """Trying again, by cause, and giving up."""

    def test_trial_lost_too_often_fails(self, url: str) -> None:
        """Its last attempt counts against the budget; those before it are history."""
        spec = make_spec(trials=2, retries={"lost": 1})
        key = spec.key(OPTIMIZER)
        with Store.open(url, lease_seconds=0.02) as store:
            store.create(spec)
            for queued in (1, 0):
                assert len(self.ask(store, spec, 1)) == 1
                assert reap_expired(store, [key]) == queued
            assert len(self.ask(store, spec, 5)) == 1
            records = store.trials(key)
            assert [(r.state, r.attempt, r.lost) for r in records[:2]] == [
                (TrialState.FAIL, 1, True),
                (TrialState.FAIL, 2, False),
            ]
            assert "given up after attempt 2" in str(records[1].reason)
            assert [event.kind for event in store.events("contract")] == ["lost", "given_up"]

    def test_released_trial_is_always_requeued(self, store: Store) -> None:
        """A signal is no fault of the trial."""
        spec = make_spec(trials=1, retries={"lost": 0})
        store.create(spec)
        for attempt in range(1, 6):
            (lease,) = self.ask(store, spec, 1)
            assert lease.attempt == attempt
            assert store.release([lease]) == 1

    def test_each_cause_has_its_own_number_of_retries(self, store: Store) -> None:
        """Two more attempts after a lack of memory, none after another exception."""
        spec = make_spec(trials=2, retries={"out_of_memory": 2})
        store.create(spec)
        full, broken = self.ask(store, spec, 2)
        memory = Outcome(Status.FAILED, reason="OutOfMemoryError: 9 GiB", cause=Cause.OUT_OF_MEMORY)
        other = Outcome(Status.FAILED, reason="ValueError: no")
        assert store.tell([(full, memory), (broken, other)]) == [True, True]
        for attempt in (2, 3):
            (again,) = self.ask(store, spec, 5)
            assert again.request == full.request
            assert again.attempt == attempt
            assert store.tell([(again, memory)]) == [True]
        assert self.ask(store, spec, 5) == []
        progress = self.search(store, spec)
        assert (progress.failed, progress.lost, progress.remaining) == (2, 2, 0)

    def test_cause_decides_about_retries_not_the_message(self, store: Store) -> None:
        """Which retries an attempt takes; the cause is stored with each."""
        spec = make_spec(trials=2, retries={"non_finite": 1, "out_of_memory": 1})
        store.create(spec)
        misleading = Outcome(Status.FAILED, reason="ValueError: non-finite; out of memory")
        plain = Outcome(Status.FAILED, reason="no loss", cause=Cause.NON_FINITE)
        first, second = self.ask(store, spec, 2)
        assert store.tell([(first, misleading), (second, plain)]) == [True, True]
        (again,) = self.ask(store, spec, 5)
        assert again.request == second.request
        store.release([again])
        (again,) = self.ask(store, spec, 5)
        store.tell(complete([again]))
        assert self.ask(store, spec, 5) == []
        causes = [(r.cause, r.lost) for r in store.trials(spec.key(OPTIMIZER))]
        assert causes == [
            (Cause.EXCEPTION, False),
            (Cause.NON_FINITE, True),
            (Cause.RELEASED, True),
            (Cause.COMPLETE, False),
        ]

    def test_nonfinite_value_is_never_best(self, store: Store, url: str) -> None:
        """Not even when plain Optuna stored it as complete."""
        spec = make_spec(trials=6)
        store.create(spec)
        with plain_optuna(url) as study:
            for value in (-math.inf, math.inf):
                trial = study.ask()
                spec.optimizers[OPTIMIZER].space.suggest(trial)  # type: ignore[arg-type]
                study.tell(trial, value)
        (lease,) = self.ask(store, spec, 1)
        store.tell([(lease, Outcome(Status.COMPLETE, 3.0))])
        assert self.search(store, spec).best == 3.0
        assert [r.value for r in store.trials(spec.key(OPTIMIZER))] == [None, None, 3.0]

    def test_out_of_memory_is_a_constraint_until_retried(self, store: Store, url: str) -> None:
        """Plain Optuna sees it, a sampler draws with it, and the next attempt begins without."""
        spec = make_spec(sampler="tpe", trials=4)
        store.create(spec)
        full, good = self.ask(store, spec, 2)
        memory = Outcome(Status.FAILED, reason="9 GiB", cause=Cause.OUT_OF_MEMORY)
        assert store.tell([(full, memory), *complete([good])]) == [True, True]
        with plain_optuna(url) as study:
            assert [trial.constraints for trial in study.trials] == [{"out_of_memory": 1.0}, {}]
        assert store.tell(complete(self.ask(store, spec, 5))) == [True, True]
        assert store.retry(spec.key(OPTIMIZER)) == 1
        (again,) = self.ask(store, spec, 5)
        assert again.request == full.request
        assert store.tell(complete([again])) == [True]
        with plain_optuna(url) as study:
            assert not any(trial.constraints for trial in study.trials)
