"""Workers that train many trials at once: budgets, signals, errors and pruning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ecd_tune.errors import RepeatedFailureError
from ecd_tune.objective import Objective
from ecd_tune.records import Lease, Outcome, Stage
from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.store import Store
from ecd_tune.tasks.digits_stack import StackedDigits
from ecd_tune.worker import StudyWorker
from ecd_tune.worker.feed import Feed

TRIALS = 14


def make_spec(**tables: Any) -> StudySpec:
    return parse_study(
        {
            "name": "small",
            "task": {"name": "digits", "hidden": 4, "batch_size": 512},
            "budget": {"trials": TRIALS, "steps": 3, "batch": 4},
            "sampler": {"name": "random"},
            "confirmation": {"runs": 3},
            "optimizers": {
                "ecdsep": {
                    "space": {
                        "lr": {"low": 0.01, "high": 0.1},
                        "eta": {"low": 1.0, "high": 2.0},
                    }
                },
                "sgd": {"space": {"lr": {"low": 1e-3, "high": 0.1, "log": True}}},
            },
            **tables,
        }
    )


@pytest.fixture(autouse=True)
def as_wide_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine is best at."""
    monkeypatch.setattr(Objective, "width", lambda self, stage, bound: bound)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        yield store


def test_study_equals_single_trials(store: Store, tmp_path: Path) -> None:
    wide = make_spec()
    narrow = wide.model_copy(update={"budget": wide.budget.model_copy(update={"batch": 1})})
    assert StudyWorker(store, wide, StopFlag()).run().told == 2 * TRIALS + 2 * 3
    with Store.open(f"sqlite:///{tmp_path / 'b.db'}") as other:
        StudyWorker(other, narrow, StopFlag()).run()
        for optimizer in wide.optimizers:
            together = store.trials(wide.key(optimizer))
            alone = other.trials(wide.key(optimizer))
            seeds = {record.seed for record in alone}
            assert {record.seed for record in together} == seeds
            confirm = wide.key(optimizer, Stage.CONFIRM)
            tested, expected = store.trials(confirm), other.trials(confirm)
            assert len(tested) == 3
            assert all("test_accuracy" in record.metrics for record in tested)
            assert {record.seed for record in tested} == {record.seed for record in expected}
            for record in together:
                assert record.curve.steps == (0, 1, 2, 3)
                assert record.cost.energy_kwh is not None


def test_signal_requeues_all_lanes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, flag = make_spec(), StopFlag()
    put = Feed.put

    def stop_after_five(self: Feed, lease: Lease, outcome: Outcome) -> None:
        put(self, lease, outcome)
        told.append(lease.number)
        # While others are running: on a slow machine none may have been asked for yet.
        if len(told) >= 5 and (self._ready or self._running):
            flag._event.set()

    told: list[int] = []
    monkeypatch.setattr(Feed, "put", stop_after_five)
    summary = StudyWorker(store, spec, flag).run()
    assert summary.interrupted
    assert summary.told == len(told) >= 5  # what was done is stored
    progress = {p.key: p for p in store.progress("small")}[spec.key("ecdsep")]
    assert progress.running == 0
    assert progress.waiting == progress.lost > 0

    monkeypatch.undo()
    StudyWorker(store, spec, StopFlag()).run()
    for optimizer in spec.optimizers:
        records = store.trials(spec.key(optimizer))
        counted = [record for record in records if record.counts]
        assert len(counted) == TRIALS
        assert len({record.seed for record in counted}) == TRIALS
        lost = {(record.seed, record.params["lr"]) for record in records if record.lost}
        assert lost <= {(record.seed, record.params["lr"]) for record in counted}


def test_the_same_fault_in_every_trial_ends_the_worker(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Objective, row: object) -> None:
        raise ValueError("a fault of its own")

    monkeypatch.setattr(Objective, "_plan", broken)
    spec = make_spec(retries={"stop_worker_after": 6})
    with pytest.raises(RepeatedFailureError, match="a fault of its own"):
        StudyWorker(store, spec, StopFlag()).run()
    assert all(p.running == 0 for p in store.progress("small"))


def test_out_of_memory_loses_no_trial(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    closure = StackedDigits.closure

    def scarce(
        self: StackedDigits, steps: Sequence[int], rows: Sequence[int] | None = None
    ) -> torch.Tensor:
        if len(steps) > 1:
            raise MemoryError("no room")
        return closure(self, steps, rows)

    monkeypatch.setattr(StackedDigits, "closure", scarce)
    spec = make_spec()
    assert StudyWorker(store, spec, StopFlag()).run().told == 2 * TRIALS + 2 * 3
    assert all(record.counts for record in store.trials(spec.key("sgd")))


def test_a_trial_that_is_behind_is_pruned_and_another_takes_its_lane(store: Store) -> None:
    spec = make_spec(pruning={"kind": "median", "startup_trials": 2})
    StudyWorker(store, spec, StopFlag()).run()
    records = store.trials(spec.key("sgd"))
    assert len(records) == TRIALS
    assert any(record.pruned for record in records)
    assert not any(record.pruned for record in store.trials(spec.key("sgd", Stage.CONFIRM)))


def test_one_trial_is_leased_if_lanes_are_slower(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    bounds: list[tuple[Stage, int]] = []
    ask = Store.ask

    def width(self: Objective, stage: Stage, bound: int) -> int:
        bounds.append((stage, bound))
        return 1

    def see(self: Store, *arguments: Any, count: int, **options: Any) -> list[Lease]:
        asked.append(count)
        return ask(self, *arguments, count=count, **options)

    monkeypatch.setattr(Objective, "width", width)
    monkeypatch.setattr(Objective, "run_lanes", None)
    monkeypatch.setattr(Store, "ask", see)
    assert StudyWorker(store, make_spec(), StopFlag()).run().told == 2 * TRIALS + 2 * 3
    assert set(asked) == {1}
    assert bounds == [(Stage.SEARCH, 4)]  # measured once by a worker
