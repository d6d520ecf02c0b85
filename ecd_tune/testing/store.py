"""What every database behind the store must keep, as tests to inherit.

::

    from ecd_tune.testing.store import StoreContract

    class TestMyDatabase(StoreContract):
        @pytest.fixture
        def url(self):
            yield "postgresql://..."  # an empty database, fresh for each test
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
import pytest

from ecd_tune.errors import FingerprintMismatchError, SpecError, StudyNotFoundError
from ecd_tune.records import Curve, Lease, Outcome, RunCost, Stage, Status, StudyKey, TrialState
from ecd_tune.spec import StudySpec
from ecd_tune.store import CurvePoint, Progress, QueueItem, Store, Worker

__all__ = ["StoreContract", "make_spec", "work"]

# Imports once, then forks: a test can afford 64 processes.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["ecd_tune.testing.store", "sqlalchemy.dialects.postgresql.psycopg", "psycopg"]
)
_RANGES: Mapping[str, Any] = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "eta": {"low": 1.0, "high": 6.0},
    "s": 1,
}
_OPTIMIZER = "ecdsep"


def make_spec(
    sampler: str = "random",
    trials: int | None = 6,
    space: Mapping[str, Any] = _RANGES,
    **changes: Any,
) -> StudySpec:
    """Return a small study of one optimizer.

    Args:
        sampler: Its name.
        trials: The budget.
        space: The search space, as in a study file.
        **changes: Further tables of the study file.

    Returns:
        The study.
    """
    data = {
        "name": "contract",
        "task": {"name": "zakharov"},
        "budget": {"trials": trials, "steps": 10},
        "sampler": {"name": sampler},
        "optimizers": {_OPTIMIZER: {"space": space}},
    }
    return StudySpec.model_validate({**data, **changes})


def complete(leases: Sequence[Lease]) -> list[tuple[Lease, Outcome]]:
    """Return a result for each lease: a smooth function of the parameters."""
    return [(lease, Outcome(Status.COMPLETE, _value(lease.request.params))) for lease in leases]


def work(url: str, spec: StudySpec, count: int) -> int:
    """Ask and tell until nothing is handed out any more, as one worker process does.

    Args:
        url: The storage.
        spec: A study that was created there.
        count: Trials to ask for at once.

    Returns:
        How many trials this worker finished.
    """
    told, worker = 0, Worker.current()
    with Store.open(url) as store:
        while leases := store.ask(spec, _OPTIMIZER, count=count, worker=worker):
            told += sum(store.tell(complete(leases)))
    return told


def work_at_signal(url: str, spec: StudySpec, ready: Any, start: Any, done: Any) -> None:
    """Work on a study from a signal on."""
    ready.put(True)
    start.wait()
    done.put(work(url, spec, 3))


def hold(url: str, spec: StudySpec, count: int, ready: Any) -> None:
    """Lease trials and never come back."""
    with Store.open(url) as store:
        ready.put(len(store.ask(spec, _OPTIMIZER, count=count, worker=Worker.current())))
        time.sleep(600)


def create_at_signal(url: str, spec: StudySpec, ready: Any, start: Any, done: Any) -> None:
    """Open a database that may be empty and create a study, at a signal."""
    ready.put(True)
    start.wait()
    with Store.open(url) as store:
        store.create(spec)
        done.put(store.studies())


@contextmanager
def plain_optuna(url: str, name: str = "contract/ecdsep") -> Iterator[optuna.Study]:
    """Open a study as plain Optuna does, without ecd_tune.

    Args:
        url: The storage.
        name: Name of the study.

    Yields:
        Optuna's study.
    """
    storage = optuna.storages.RDBStorage(url)
    try:
        yield optuna.load_study(study_name=name, storage=storage)
    finally:
        storage.scoped_session.remove()
        storage.engine.dispose()


def _value(params: Mapping[str, Any]) -> float:
    return float((math.log10(params["lr"]) + 2.0) ** 2 + (params["eta"] - 3.0) ** 2)


class StoreContract:
    """Subclass it in a test file and override the fixture :meth:`url`."""

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of an empty database."""
        raise NotImplementedError("override the fixture url")

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        """Open the store.

        Yields:
            The store.
        """
        with Store.open(url) as store:
            yield store

    @pytest.fixture
    def worker(self) -> Worker:
        """Return this process."""
        return Worker.current()

    def ask(self, store: Store, spec: StudySpec, count: int) -> list[Lease]:
        """Ask as this process."""
        return store.ask(spec, _OPTIMIZER, count=count, worker=Worker.current())

    def search(self, store: Store, spec: StudySpec) -> Progress:
        """Return how the search stands."""
        (found,) = (p for p in store.progress(spec.name) if p.key == spec.key(_OPTIMIZER))
        return found

    # ------------------------------------------------------------------ studies

    def test_create_twice_is_create_once(self, store: Store) -> None:
        """A second worker's create changes nothing."""
        spec = make_spec()
        store.create(spec)
        store.create(spec)
        assert store.studies() == ["contract"]
        assert [p.key.stage for p in store.progress("contract")] == [Stage.SEARCH, Stage.CONFIRM]
        assert store.identity(spec.key(_OPTIMIZER)) == spec.identity(_OPTIMIZER)

    def test_another_study_file_is_refused_with_the_difference(self, store: Store) -> None:
        """Both create and ask compare fingerprints; the message says what differs."""
        store.create(make_spec())
        other = make_spec(budget={"trials": 6, "steps": 11}, seed=3)
        for call in (lambda: store.create(other), lambda: self.ask(store, other, 1)):
            with pytest.raises(FingerprintMismatchError) as caught:
                call()
            assert "budget.steps: 10 -> 11" in str(caught.value)
            assert "seed: 0 -> 3" in str(caught.value)
        assert not store.trials(make_spec().key(_OPTIMIZER))

    def test_a_longer_budget_is_the_same_study(self, store: Store) -> None:
        """More trials go on where fewer ended."""
        store.create(make_spec(trials=2))
        assert len(self.ask(store, make_spec(trials=2), 10)) == 2
        longer = make_spec(trials=5)
        store.create(longer)
        assert [lease.number for lease in self.ask(store, longer, 10)] == [2, 3, 4]
        assert self.search(store, longer).target == 5

    def test_unknown_study_lists_the_known_ones(self, store: Store) -> None:
        """A wrong name is answered with the right ones."""
        store.create(make_spec())
        with pytest.raises(StudyNotFoundError, match=r"contract/ecdsep"):
            store.trials(StudyKey("contrakt", _OPTIMIZER))
        assert store.progress("contrakt") == []

    # ------------------------------------------------------------------ ask and tell

    def test_ask_hands_out_the_budget_and_no_more(self, store: Store) -> None:
        """Running trials count; what is told does not free a place."""
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
        """What is handed out is complete, and its seed follows from its number."""
        spec = make_spec(seed=7)
        store.create(spec)
        for lease in self.ask(store, spec, 4):
            spec.optimizers[_OPTIMIZER].space.check(lease.request.params)
            assert lease.request.params["s"] == 1
            assert lease.request.seed == spec.search_seed(lease.number)
            assert lease.request.stage is Stage.SEARCH

    def test_plain_optuna_reads_what_was_told(self, store: Store, url: str) -> None:
        """States, values, parameters and the last value before the end, without ecd_tune."""
        spec = make_spec(trials=5)
        store.create(spec)
        leases = self.ask(store, spec, 5)
        outcomes = [
            Outcome(Status.COMPLETE, 1.5),
            Outcome(Status.DIVERGED, -7.25, reason="overflow", curve=Curve((0, 3), (8.0, 7.25))),
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
        reasons = [trial.user_attrs.get("reason") for trial in trials]
        assert reasons == [None, "overflow", "too slow", "no memory", None]
        for trial, lease in zip(trials, leases, strict=True):
            assert {**trial.params, "s": 1} == lease.request.params
            assert trial.user_attrs["seed"] == lease.request.seed

    def test_curves_of_running_trials_are_stored_while_the_lease_stands(
        self, store: Store, url: str
    ) -> None:
        """Not finite ones too; a repeated point replaces, a tell brings the rest."""
        spec = make_spec(trials=3)
        store.create(spec)
        done, gone, diverged = self.ask(store, spec, 3)
        store.release([gone])
        points = [CurvePoint(lease.trial_id, lease.token, 0, 2.0) for lease in (done, gone)]
        infinite = CurvePoint(diverged.trial_id, diverged.token, 1, math.inf)
        assert store.report([*points, infinite]) == 1
        assert store.report([points[0]._replace(value=1.0)]) == 0
        outcome = Outcome(Status.DIVERGED, 0.5, curve=Curve((0, 1), (0.5, 9.0)), reason="overflow")
        results = [(done, Outcome(Status.COMPLETE, 1.5)), (diverged, outcome)]
        assert store.tell(results, [points[0]._replace(step=7)]) == [True, True]
        with plain_optuna(url) as study:
            curves = [trial.intermediate_values for trial in study.trials[:3]]
        assert curves == [{0: 1.0, 7: 2.0}, {}, {1: 0.5}]

    def test_records_return_what_was_told(self, store: Store, worker: Worker) -> None:
        """Metrics, curve, reason and cost survive, numbers that are none included."""
        spec = make_spec()
        store.create(spec)
        outcome = Outcome(
            Status.DIVERGED,
            2.5,
            metrics={"final": math.inf, "steps": 3.0},
            curve=Curve((0, 1, 5), (2.5, math.nan, -math.inf)),
            reason="left the finite numbers",
            cost=RunCost(1.25, "cuda:0"),
        )
        (lease,) = self.ask(store, spec, 1)
        store.tell([(lease, outcome)])
        (record,) = store.trials(lease.key)
        assert record.state is TrialState.PRUNED
        assert record.value == 2.5
        assert record.params == lease.request.params
        assert record.metrics == outcome.metrics
        assert record.curve.steps == (0, 1, 5)
        assert repr(record.curve.values) == repr(outcome.curve.values)
        assert (record.reason, record.cost) == (outcome.reason, outcome.cost)
        assert (record.seed, record.attempt, record.worker) == (0, 1, worker.name)
        assert record.started is not None
        assert record.completed is not None
        assert record.started <= record.completed
        (bare,) = store.trials(lease.key, curves=False)
        assert bare.curve == Curve()

    def test_progress_is_led_by_complete_trials_only(self, store: Store) -> None:
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

    # ------------------------------------------------------------------ samplers

    @pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "gp", "cmaes"])
    def test_samplers_fill_the_budget_with_distinct_points(
        self, store: Store, sampler: str
    ) -> None:
        """Every sampler by name, past its random start."""
        spec = make_spec(sampler, trials=14)
        store.create(spec)
        while leases := self.ask(store, spec, 4):
            store.tell(complete(leases))
        records = store.trials(spec.key(_OPTIMIZER))
        assert [record.number for record in records] == list(range(14))
        assert len({tuple(record.params.items()) for record in records}) == 14

    def test_unknown_sampler_option_names_the_allowed_ones(self, store: Store) -> None:
        """A misspelt option is found when the study is created."""
        spec = make_spec(sampler="tpe")
        wrong = StudySpec.model_validate(
            {**spec.model_dump(exclude={"optimizers", "sampler"}, exclude_unset=True)}
            | {"sampler": {"name": "tpe", "n_startup": 3}}
            | {"optimizers": {_OPTIMIZER: {"space": _RANGES}}}
        )
        with pytest.raises(SpecError, match=r"'n_startup'.*n_startup_trials"):
            store.create(wrong)

    @pytest.mark.parametrize("sampler", ["tpe", "qmc", "cmaes"])
    def test_a_resumed_study_goes_on_bit_for_bit(self, url: str, sampler: str) -> None:
        """Closed and opened again after every batch, or never: the same trials."""
        runs = []
        for name, reopen in (("whole", False), ("resumed", True)):
            spec = make_spec(sampler, trials=21, name=name)
            store = Store.open(url)
            store.create(spec)
            while leases := self.ask(store, spec, 3):
                store.tell(complete(leases))
                if reopen:
                    store.close()
                    store = Store.open(url)
            records = store.trials(spec.key(_OPTIMIZER))
            runs.append([(r.number, dict(r.params), r.value, r.seed) for r in records])
            store.close()
        assert len(runs[0]) == 21
        assert runs[0] == runs[1]

    def test_a_grid_runs_every_point_once(self, store: Store, url: str) -> None:
        """In order, whoever asks, and again the rest when the budget was shorter."""
        space = {"lr": [0.1, 0.01, 0.001], "eta": [1.0, 2.0], "s": 1}
        spec = make_spec("grid", trials=4, space=space)
        store.create(spec)
        work(url, spec, 3)
        assert self.search(store, spec).complete == 4
        whole = make_spec("grid", trials=None, space=space)
        store.create(whole)
        work(url, whole, 5)
        params = [record.params for record in store.trials(whole.key(_OPTIMIZER))]
        assert params == list(whole.optimizers[_OPTIMIZER].space.grid())

    # ------------------------------------------------------------------ queue and claim

    def test_a_label_is_queued_once_for_ever(self, store: Store, worker: Worker) -> None:
        """Queued twice, also after it ran, it runs once; its values may lie anywhere."""
        spec = make_spec()
        store.create(spec)
        key = spec.key(_OPTIMIZER, Stage.CONFIRM)
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
        """What they leave open is drawn; what cannot be run fails with its reason."""
        spec = make_spec("tpe", trials=4, space={**_RANGES, "nu": [0.1, 0.2]})
        store.create(spec)
        with plain_optuna(url) as study:
            study.enqueue_trial({"lr": 0.25}, user_attrs={"seed": 1, "note": "mine"})
            study.enqueue_trial({"nu": 0.3})
        leases = self.ask(store, spec, 10)
        assert leases[0].request.params["lr"] == 0.25
        spec.optimizers[_OPTIMIZER].space.check(leases[0].request.params)
        store.tell(complete(leases))
        while leases := self.ask(store, spec, 10):
            store.tell(complete(leases))
        records = store.trials(spec.key(_OPTIMIZER))
        assert Counter(r.state for r in records) == {TrialState.COMPLETE: 3, TrialState.FAIL: 1}
        assert "0.3" in str(records[1].reason)

    def test_trials_of_plain_optuna_are_read(self, store: Store, url: str) -> None:
        """They have no run of ours: records with defaults, and samplers see them."""
        spec = make_spec("tpe", trials=14)
        store.create(spec)
        with plain_optuna(url) as study:
            trial = study.ask()
            spec.optimizers[_OPTIMIZER].space.suggest(trial)  # type: ignore[arg-type]
            study.tell(trial, 0.5)
        work(url, spec, 4)
        records = store.trials(spec.key(_OPTIMIZER))
        assert len(records) == 14
        assert records[0].value == 0.5
        assert records[0].seed is None
        assert set(records[0].params) == {"lr", "eta"}

    # ------------------------------------------------------------------ leases

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
        records = store.trials(spec.key(_OPTIMIZER))
        assert [record.lost for record in records] == [True, False, False, False]
        assert sum(record.counts for record in records) == 3
        assert [event.kind for event in store.events("contract")] == ["released"]

    def test_late_results_are_refused_and_noted(self, store: Store) -> None:
        """The trial belongs to somebody else by then."""
        spec = make_spec()
        store.create(spec)
        (late, timely) = self.ask(store, spec, 2)
        store.release([late])
        (second,) = self.ask(store, spec, 1)
        assert store.tell(complete([late, timely])) == [False, True]
        assert store.tell(complete([timely])) == [False]
        assert store.tell(complete([second])) == [True]
        record = store.trials(spec.key(_OPTIMIZER))[late.number]
        assert (record.state, record.value) == (TrialState.FAIL, None)
        kinds = Counter(event.kind for event in store.events("contract"))
        assert kinds == {"released": 1, "fenced": 2}

    def test_tokens_only_grow(self, store: Store) -> None:
        """Also after the newest lease is gone."""
        spec = make_spec()
        store.create(spec)
        tokens = []
        for _ in range(3):
            (lease,) = self.ask(store, spec, 1)
            tokens.append(lease.token)
            store.tell(complete([lease]))
        assert tokens == sorted(set(tokens))

    def test_expired_leases_are_reaped_and_renewed_ones_stay(self, url: str) -> None:
        """By the database's clock; the copy keeps parameters, seed and source."""
        spec = make_spec()
        with Store.open(url, lease_seconds=0.6) as store:
            store.create(spec)
            kept, expired = self.ask(store, spec, 2)
            deadline = time.monotonic() + 0.9
            while time.monotonic() < deadline:
                assert store.renew([kept]) == [True]
                time.sleep(0.1)
            assert store.reap([spec.key(_OPTIMIZER)]) == 1
            assert store.reap() == 0
            assert store.renew([kept, expired]) == [True, False]
            (again,) = self.ask(store, spec, 1)
            assert again.request == expired.request
            assert again.attempt == 2

    def test_racing_reapers_queue_each_trial_once(self, url: str) -> None:
        """Four reapers at the same moment, over and over."""
        spec = make_spec(trials=40, retries={"lost": 5})
        with Store.open(url, lease_seconds=0.01) as store:
            store.create(spec)
            for _ in range(5):
                count = len(self.ask(store, spec, 8))
                time.sleep(0.05)
                assert sum(_at_once(4, store.reap)) == count
            records = store.trials(spec.key(_OPTIMIZER))
            assert sum(record.state is TrialState.WAITING for record in records) == 8
            assert sum(record.lost for record in records) == 40

    # ------------------------------------------------------------------ trying again

    def test_a_trial_that_is_lost_too_often_is_given_up(self, url: str) -> None:
        """Its last attempt counts against the budget; those before it are history."""
        spec = make_spec(trials=2, retries={"lost": 1})
        key = spec.key(_OPTIMIZER)
        with Store.open(url, lease_seconds=0.01) as store:
            store.create(spec)
            for queued in (1, 0):
                assert len(self.ask(store, spec, 1)) == 1
                time.sleep(0.05)
                assert store.reap([key]) == queued
            assert len(self.ask(store, spec, 5)) == 1
            records = store.trials(key)
            assert [(r.state, r.attempt, r.lost) for r in records[:2]] == [
                (TrialState.FAIL, 1, True),
                (TrialState.FAIL, 2, False),
            ]
            assert "given up after attempt 2" in str(records[1].reason)
            assert [event.kind for event in store.events("contract")] == ["lost", "given_up"]

    def test_a_trial_given_back_on_purpose_is_never_given_up(self, store: Store) -> None:
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
        memory = Outcome(Status.FAILED, reason="OutOfMemoryError: tried to allocate 9 GiB")
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

    def test_what_is_not_finite_is_never_the_best(self, store: Store, url: str) -> None:
        """Not even when plain Optuna stored it as complete."""
        spec = make_spec(trials=6)
        store.create(spec)
        with plain_optuna(url) as study:
            for value in (-math.inf, math.inf):
                trial = study.ask()
                spec.optimizers[_OPTIMIZER].space.suggest(trial)  # type: ignore[arg-type]
                study.tell(trial, value)
        (lease,) = self.ask(store, spec, 1)
        store.tell([(lease, Outcome(Status.COMPLETE, 3.0))])
        assert self.search(store, spec).best == 3.0
        assert [r.value for r in store.trials(spec.key(_OPTIMIZER))] == [None, None, 3.0]

    # ------------------------------------------------------------------ several processes

    def test_many_processes_open_an_empty_database(self, url: str) -> None:
        """64 first starts at the same moment all succeed."""
        assert _in_processes(64, create_at_signal, url, make_spec()) == [["contract"]] * 64

    def test_no_queued_trial_is_claimed_twice(self, store: Store, url: str) -> None:
        """1000 queued trials, 16 workers."""
        spec = make_spec()
        store.create(spec)
        key = spec.key(_OPTIMIZER, Stage.CONFIRM)
        items = [QueueItem(f"n:{seed}", {"lr": 0.1, "eta": 1.0}, seed) for seed in range(1000)]
        assert store.queue(key, items) == 1000
        claimed = _in_processes(16, claim_at_signal, url, spec)
        assert sorted(number for numbers in claimed for number in numbers) == list(range(1000))
        assert sum(bool(numbers) for numbers in claimed) > 1, "only one of them worked"

    def test_processes_share_the_budget_exactly(self, store: Store, url: str) -> None:
        """16 workers finish N trials for a budget of N, and draw no point twice."""
        spec = make_spec(trials=251)
        store.create(spec)
        told = _in_processes(16, work_at_signal, url, spec)
        assert sum(told) == 251
        assert sum(count > 0 for count in told) > 1, "only one of them worked"
        records = store.trials(spec.key(_OPTIMIZER))
        assert [record.number for record in records] == list(range(251))
        assert all(record.state is TrialState.COMPLETE for record in records)
        assert len({tuple(record.params.items()) for record in records}) == 251

    def test_a_killed_worker_costs_nothing(self, store: Store, url: str) -> None:
        """Its trials are queued again at once, once, as they were; the study ends exactly."""
        spec, ready = make_spec("tpe", trials=9), _PROCESSES.Queue()
        store.create(spec)
        store.tell(complete(self.ask(store, spec, 2)))
        child = _PROCESSES.Process(target=hold, args=(url, spec, 3, ready))
        child.start()
        assert ready.get() == 3
        assert store.reap() == 0, "the process is alive and its lease is fresh"
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert store.reap() == 3
        assert store.reap() == 0
        work(url, spec, 4)
        records = store.trials(spec.key(_OPTIMIZER))
        lost = [record for record in records if record.lost]
        copies = [record for record in records if record.attempt == 2]
        assert [(r.params, r.seed, r.source) for r in lost] == [
            (r.params, r.seed, r.source) for r in copies
        ]
        assert sum(record.counts for record in records) == 9
        assert self.search(store, spec).remaining == 0


def claim_at_signal(url: str, spec: StudySpec, ready: Any, start: Any, done: Any) -> None:
    """Claim queued trials, 7 at a time, until there are none; say which."""
    ready.put(True)
    start.wait()
    numbers: list[int] = []
    worker, key = Worker.current(), spec.key(_OPTIMIZER, Stage.CONFIRM)
    with Store.open(url) as store:
        while leases := store.claim(key, count=7, worker=worker):
            numbers += [lease.number for lease in leases]
            store.tell([(lease, Outcome(Status.COMPLETE, 0.0)) for lease in leases])
    done.put(numbers)


def _at_once(count: int, call: Any) -> list[Any]:
    barrier, results = threading.Barrier(count), []

    def run() -> None:
        barrier.wait()
        results.append(call())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _in_processes(count: int, target: Any, url: str, spec: StudySpec) -> list[Any]:
    """Run ``target`` in processes that all begin at the same moment."""
    ready, start, done = _PROCESSES.Queue(), _PROCESSES.Event(), _PROCESSES.Queue()
    arguments = (url, spec, ready, start, done)
    children = [_PROCESSES.Process(target=target, args=arguments) for _ in range(count)]
    for child in children:
        child.start()
    for _ in children:
        ready.get(timeout=60)
    start.set()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * count
    return [done.get(timeout=10) for _ in children]
