"""The queue: unique labels, and trials queued by plain Optuna."""

from __future__ import annotations

from collections import Counter

import pytest

from ecd_tune.records import Outcome, Stage, Status, TrialState
from ecd_tune.store import QueueItem, Store, Worker
from ecd_tune.testing.store.fixtures import StoreFixtures
from ecd_tune.testing.store.study import OPTIMIZER, RANGES, complete, make_spec, plain_optuna, work

__all__ = ["QueueingContract"]


class QueueingContract(StoreFixtures):
    """The queue: unique labels, and trials queued by plain Optuna."""

    def test_label_is_queued_only_once(self, store: Store, worker: Worker) -> None:
        """Queued twice, also after it ran, it runs once; its values may be outside the space."""
        spec = make_spec()
        store.create(spec)
        key = spec.key(OPTIMIZER, Stage.CONFIRM)
        params = {"lr": 40.0, "eta": 2, "conserve_energy": True}
        items = [
            QueueItem(f"best:{run}", params, spec.confirm_seed(run), "best") for run in range(3)
        ]
        assert store.queue(key, items) == 3
        assert store.queue(key, [*items, *items]) == 0
        leases = store.claim(key, count=2, worker=worker)
        assert [lease.request.seed for lease in leases] == [500_000, 500_001]
        assert leases[0].request.params == params
        assert leases[0].request.stage is Stage.CONFIRM
        assert leases[0].source == "best"
        assert store.tell([(leases[0], Outcome(Status.COMPLETE, 1.0))]) == [True]
        assert store.queue(key, items) == 0
        assert len(store.claim(key, count=5, worker=worker)) == 1
        assert store.claim(key, count=5, worker=worker) == []

    def test_trials_enqueued_through_plain_optuna_are_run(self, store: Store, url: str) -> None:
        """Missing parameters are drawn; invalid trials fail with their reason."""
        spec = make_spec("tpe", trials=4, space={**RANGES, "nu": [0.1, 0.2]})
        store.create(spec)
        with plain_optuna(url) as study:
            study.enqueue_trial({"lr": 0.25}, user_attrs={"seed": 1, "note": "mine"})
            study.enqueue_trial({"nu": 0.3})
        leases = self.ask(store, spec, 10)
        assert leases[0].request.params["lr"] == 0.25
        spec.optimizers[OPTIMIZER].space.check(leases[0].request.params)
        store.tell(complete(leases))
        while leases := self.ask(store, spec, 10):
            store.tell(complete(leases))
        records = store.trials(spec.key(OPTIMIZER))
        assert Counter(r.state for r in records) == {TrialState.COMPLETE: 3, TrialState.FAIL: 1}
        assert "0.3" in str(records[1].reason)

    def test_queued_trials_do_not_exceed_the_budget(self, store: Store, url: str) -> None:
        """The others wait, for a larger budget; finished and leased ones count."""
        short, longer = make_spec(trials=3), make_spec(trials=5)
        store.create(short)
        store.tell(complete(self.ask(store, short, 1)))
        with plain_optuna(url) as study:
            for lr in (0.1, 0.2, 0.3, 0.4, 0.5):
                study.enqueue_trial({"lr": lr})
        leases = self.ask(store, short, 10)
        assert [lease.request.params["lr"] for lease in leases] == [0.1, 0.2]
        assert self.ask(store, short, 10) == []
        store.tell(complete(leases))
        assert self.ask(store, short, 10) == []
        store.create(longer)
        assert len(self.ask(store, longer, 10)) == 2
        assert self.search(store, longer).waiting == 1

    @pytest.mark.parametrize("sampler", ["random", "tpe"])
    def test_trials_enqueued_later_run_next(self, store: Store, url: str, sampler: str) -> None:
        """For any earlier draws, and for samplers with and without history."""
        spec = make_spec(sampler, trials=9)
        store.create(spec)
        # A second process draws too: numbers differ from those that a single process expects.
        with Store.open(url) as other:
            for asked in (store, other, store, store):
                store.tell(complete(self.ask(asked, spec, 1)))
        with plain_optuna(url) as study:
            study.enqueue_trial({"lr": 0.05})
            study.enqueue_trial({"eta": 3.0})
        first, second = self.ask(store, spec, 1), self.ask(store, spec, 1)
        assert first[0].request.params["lr"] == 0.05
        assert second[0].request.params["eta"] == 3.0
        while fresh := self.ask(store, spec, 2):
            store.tell(complete(fresh))
        store.tell(complete([*first, *second]))
        records = store.trials(spec.key(OPTIMIZER))
        assert [record.number for record in records] == list(range(9))
        assert len({record.params["lr"] for record in records}) == 9

    def test_trials_of_plain_optuna_are_read(self, store: Store, url: str) -> None:
        """They have no run of ours: records with defaults, and samplers see them."""
        spec = make_spec("tpe", trials=14)
        store.create(spec)
        with plain_optuna(url) as study:
            trial = study.ask()
            spec.optimizers[OPTIMIZER].space.suggest(trial)  # type: ignore[arg-type]
            study.tell(trial, 0.5)
        work(url, spec, 4)
        records = store.trials(spec.key(OPTIMIZER))
        assert len(records) == 14
        assert records[0].value == 0.5
        assert records[0].seed is None
        assert set(records[0].params) == {"lr", "eta"}
