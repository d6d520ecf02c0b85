"""Exchanges: results stored and the next trials leased, together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecd_tune.records import Lease, Outcome, Status, TrialState
from ecd_tune.spec import StudySpec
from ecd_tune.store import CurvePoint, Store, Worker
from ecd_tune.testing.store.fixtures import StoreFixtures
from ecd_tune.testing.store.study import OPTIMIZER, complete, make_spec, plain_optuna

__all__ = ["ExchangingContract"]


class ExchangingContract(StoreFixtures):
    """Exchanges: results stored and the next trials leased, together."""

    @pytest.mark.parametrize("sampler", ["random", "tpe", "qmc"])
    @pytest.mark.parametrize("count", [1, 3])
    def test_it_is_a_tell_and_an_ask(self, store: Store, sampler: str, count: int) -> None:
        """The same trials, drawn and stored alike, to the last one of the budget."""
        apart = make_spec(sampler, trials=13, name="apart")
        joint = make_spec(sampler, trials=13, name="joint")
        for spec in (apart, joint):
            store.create(spec)
        while leases := self.ask(store, apart, count):
            assert all(store.tell(complete(leases)))
        leases, sizes = self.ask(store, joint, count), []
        while leases:
            sizes.append(len(leases))
            taken, leases = self.exchange(store, joint, complete(leases), count)
            assert all(taken)
        assert sum(sizes) == 13
        assert set(sizes[:-1]) == {count}
        told = [
            [
                (r.number, r.params, r.seed, r.state, r.value)
                for r in store.trials(spec.key(OPTIMIZER))
            ]
            for spec in (apart, joint)
        ]
        assert told[0] == told[1]
        assert len(told[0]) == 13

    def exchange(
        self,
        store: Store,
        spec: StudySpec,
        results: list[tuple[Lease, Outcome]],
        count: int = 1,
        points: tuple[CurvePoint, ...] = (),
    ) -> tuple[list[bool], list[Lease]]:
        """Exchange as this process."""
        return store.exchange(
            results, points, spec, OPTIMIZER, count=count, worker=Worker.current()
        )

    def test_a_late_result_is_refused_and_the_next_trial_comes(self, store: Store) -> None:
        """Here the one that was given back, with its parameters."""
        spec = make_spec()
        store.create(spec)
        late, timely = self.ask(store, spec, 2)
        store.release([late])
        taken, (second,) = self.exchange(store, spec, complete([late, timely]))
        assert taken == [False, True]
        assert second.request == late.request
        taken, (third,) = self.exchange(store, spec, complete([second]))
        assert (taken, third.number) == ([True], 3)
        taken, fourth = self.exchange(store, spec, complete([second, third]))
        assert taken == [False, True]
        assert [lease.number for lease in fourth] == [4]
        kinds = [event.kind for event in store.events("contract")]
        assert kinds == ["released", "fenced", "fenced"]

    def test_queued_trials_come_first(self, store: Store, url: str) -> None:
        """Those of plain Optuna, that nobody here knows of."""
        spec = make_spec(trials=5)
        store.create(spec)
        leases = self.ask(store, spec, 1)
        _, leases = self.exchange(store, spec, complete(leases))
        with plain_optuna(url) as study:
            study.enqueue_trial({"lr": 0.05})
        taken, (queued,) = self.exchange(store, spec, complete(leases))
        assert taken == [True]
        assert queued.request.params["lr"] == 0.05
        _, (fresh,) = self.exchange(store, spec, complete([queued]))
        assert fresh.request.params["lr"] != 0.05
        _, last = self.exchange(store, spec, complete([fresh]))
        assert [lease.number for lease in last] == [4]
        assert self.exchange(store, spec, complete(last)) == ([True], [])
        assert self.search(store, spec).remaining == 0

    def test_a_result_without_a_value_is_tried_again(self, store: Store) -> None:
        """As the study allows it: the copy is handed out, and the failure is history."""
        spec = make_spec(trials=3, retries={"exception": 1})
        store.create(spec)
        (lease,) = self.ask(store, spec, 1)
        failed = Outcome(Status.FAILED, None, reason="RuntimeError: no luck")
        taken, (again,) = self.exchange(store, spec, [(lease, failed)])
        assert taken == [True]
        assert (again.request, again.attempt) == (lease.request, 2)
        taken, leases = self.exchange(store, spec, [(again, failed)])
        assert taken == [True]
        assert [lease.attempt for lease in leases] == [1]
        states = [record.state for record in store.trials(spec.key(OPTIMIZER))]
        assert states == [TrialState.FAIL, TrialState.FAIL, TrialState.RUNNING]

    def test_points_travel_with_the_result(self, store: Store, url: str) -> None:
        """Those of a lease that stands; none of one that is gone."""
        spec = make_spec()
        store.create(spec)
        (first,) = self.ask(store, spec, 1)
        points = (
            CurvePoint(first.trial_id, first.token, 0, 3.0),
            CurvePoint(first.trial_id, first.token, 1, 2.0),
        )
        _, (second,) = self.exchange(store, spec, complete([first]), points=points)
        late = (CurvePoint(first.trial_id, first.token, 1, 7.0),)
        self.exchange(store, spec, complete([first, second]), points=late)
        with plain_optuna(url) as study:
            assert study.trials[0].intermediate_values == {0: 3.0, 1: 2.0}
            assert study.trials[1].intermediate_values == {}

    def test_others_at_work_change_nothing(self, store: Store, url: str) -> None:
        """Two workers that exchange in turns draw different points and share the budget."""
        spec, here = make_spec(trials=11), Worker.current()
        there = replace(here, host="elsewhere")
        store.create(spec)
        with Store.open(url) as other:
            hands: list[tuple[Store, Worker, list[Lease]]] = [(store, here, []), (other, there, [])]
            seeds = []
            while hands:
                asked, worker, leases = hands.pop(0)
                seeds += [lease.request.seed for lease in leases]
                taken, leases = asked.exchange(
                    complete(leases), (), spec, OPTIMIZER, count=1, worker=worker
                )
                assert all(taken)
                if leases:
                    hands.append((asked, worker, leases))
        records = store.trials(spec.key(OPTIMIZER))
        assert [record.number for record in records] == list(range(11))
        assert len({record.params["lr"] for record in records}) == 11
        assert len({record.worker for record in records}) == 2
        # Whatever the numbers that they were drawn for.
        assert [r.seed for r in records] == [spec.search_seed(r.number) for r in records]
        assert seeds == [r.seed for r in records]
        with plain_optuna(url) as study:
            assert [trial.user_attrs["seed"] for trial in study.trials] == seeds
