"""Ask and tell: the budget, the records, and their view in plain Optuna."""

from __future__ import annotations

import math

from ecd_tune.records import METRIC, Curve, Origin, Outcome, RunCost, Stage, Status, TrialState
from ecd_tune.store import CurvePoint, Store, Worker
from ecd_tune.testing.store.fixtures import StoreFixtures
from ecd_tune.testing.store.study import OPTIMIZER, complete, make_spec, plain_optuna

__all__ = ["AskingContract"]


class AskingContract(StoreFixtures):
    """Ask and tell: the budget, the records, and their view in plain Optuna."""

    def test_ask_stops_at_the_budget(self, store: Store) -> None:
        """Running trials count; telling does not free a place in the budget."""
        spec = make_spec(trials=5)
        store.create(spec)
        first = self.ask(store, spec, 3)
        assert len(self.ask(store, spec, 3)) == 2
        assert self.ask(store, spec, 3) == []
        assert store.tell(complete(first)) == [True] * 3
        assert self.ask(store, spec, 3) == []
        progress = self.search(store, spec)
        assert (progress.complete, progress.running, progress.remaining) == (3, 2, 2)

    def test_request_carries_fixed_values_and_the_search_seed(self, store: Store) -> None:
        """Leases are complete, and their seeds follow from their numbers."""
        spec = make_spec(seed=7)
        store.create(spec)
        for lease in self.ask(store, spec, 4):
            spec.optimizers[OPTIMIZER].space.check(lease.request.params)
            assert lease.request.params["s"] == 1
            assert lease.request.seed == spec.search_seed(lease.number)
            assert lease.request.stage is Stage.SEARCH

    def test_plain_optuna_reads_results(self, store: Store, url: str) -> None:
        """States, values, parameters and the last value before the end, without ecd_tune."""
        spec = make_spec(trials=5)
        store.create(spec)
        leases = self.ask(store, spec, 5)
        outcomes = [
            Outcome(Status.COMPLETE, 1.5),
            Outcome(
                Status.DIVERGED,
                -7.25,
                reason="overflow",
                curves={METRIC: Curve((0, 3), (8.0, 7.25))},
            ),
            Outcome(Status.PRUNED, reason="too slow"),
            Outcome(Status.FAILED, reason="no memory"),
        ]
        store.tell(list(zip(leases, outcomes, strict=False)))
        with plain_optuna(url) as study:
            trials, best = study.trials, study.best_value
        assert [trial.state.name for trial in trials] == [
            "COMPLETE",
            "PRUNED",
            "PRUNED",
            "FAIL",
            "RUNNING",
        ]
        assert [trial.value for trial in trials] == [1.5, -7.25, None, None, None]
        assert trials[1].intermediate_values == {3: -7.25}
        assert trials[2].intermediate_values == {}
        assert best == 1.5
        reasons = [trial.user_attrs.get("reason", "none") for trial in trials]
        assert reasons == ["none", "overflow", "too slow", "no memory", "none"]
        for trial, lease in zip(trials, leases, strict=True):
            assert {**trial.params, "s": 1} == lease.request.params
            assert trial.user_attrs["seed"] == lease.request.seed

    def test_curves_are_stored_only_under_a_valid_lease(self, store: Store, url: str) -> None:
        """Also non-finite ones; a repeated point replaces, a tell adds the rest."""
        spec = make_spec(trials=3)
        store.create(spec)
        done, gone, diverged = self.ask(store, spec, 3)
        store.release([gone])
        points = [CurvePoint(lease.trial_id, lease.token, 0, 2.0) for lease in (done, gone)]
        infinite = CurvePoint(diverged.trial_id, diverged.token, 1, math.inf)
        assert store.report([*points, infinite]) == 1
        assert store.report([points[0]._replace(value=1.0)]) == 0
        outcome = Outcome(
            Status.DIVERGED, 0.5, curves={METRIC: Curve((0, 1), (0.5, 9.0))}, reason="overflow"
        )
        results = [(done, Outcome(Status.COMPLETE, 1.5)), (diverged, outcome)]
        assert store.tell(results, [points[0]._replace(step=7)]) == [True, True]
        with plain_optuna(url) as study:
            curves = [trial.intermediate_values for trial in study.trials[:3]]
        assert curves == [{0: 1.0, 7: 2.0}, {}, {1: 0.5}]

    def test_records_return_the_stored_results(self, store: Store, worker: Worker) -> None:
        """Metrics, curves, reason and cost survive, numbers that are none included."""
        spec = make_spec()
        store.create(spec)
        outcome = Outcome(
            Status.DIVERGED,
            2.5,
            metrics={"final": math.inf, "steps": 3.0},
            curves={
                METRIC: Curve((0, 1, 5), (2.5, math.nan, -math.inf)),
                "train_loss": Curve((1, 5), (0.1, 1e-300)),
                "empty": Curve(),
            },
            reason="left the finite numbers",
            cost=RunCost(1.25, "cuda:0"),
            origin=Origin("0123456789abcdef", "1.0", "abc-dirty"),
        )
        (lease,) = self.ask(store, spec, 1)
        store.tell([(lease, outcome)])
        (record,) = store.trials(lease.key)
        assert record.state is TrialState.PRUNED
        assert record.value == 2.5
        assert record.params == lease.request.params
        assert record.metrics == outcome.metrics
        assert record.curve.steps == (0, 1, 5)
        assert repr(record.curves) == repr(outcome.curves)
        assert (record.reason, record.cost) == (outcome.reason, outcome.cost)
        assert record.origin == outcome.origin
        assert (record.seed, record.attempt, record.worker) == (0, 1, worker.name)
        assert record.started is not None
        assert record.completed is not None
        assert record.started <= record.completed
        (bare,) = store.trials(lease.key, curves=False)
        assert bare.curves == {}
        assert bare.curve == Curve()

    def test_best_progress_counts_complete_trials_only(self, store: Store) -> None:
        """A diverged trial's value may be small; it is never the best."""
        spec = make_spec(trials=4)
        store.create(spec)
        leases = self.ask(store, spec, 3)
        store.tell(
            [
                (leases[0], Outcome(Status.COMPLETE, 2.0)),
                (leases[1], Outcome(Status.COMPLETE, 1.0)),
                (leases[2], Outcome(Status.DIVERGED, -100.0, reason="overflow")),
            ]
        )
        progress = self.search(store, spec)
        assert progress.best == 1.0
        assert (progress.complete, progress.pruned, progress.remaining) == (2, 1, 1)
