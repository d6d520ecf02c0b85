"""Retried failed trials, and invalidated results."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from ecd_tune.errors import StoreError
from ecd_tune.records import Cause, Lease, Outcome, Stage, Status, TrialState
from ecd_tune.spec import StudySpec
from ecd_tune.store import QueueItem, Store, Worker
from ecd_tune.testing.store import make_spec

FAILED = Outcome(Status.FAILED, reason="RuntimeError: boom")


@pytest.fixture
def spec() -> StudySpec:
    return make_spec(trials=3)


@pytest.fixture
def store(tmp_path: Path, spec: StudySpec):
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        store.create(spec)
        yield store


def ask(store: Store, spec: StudySpec, count: int = 3) -> list[Lease]:
    return store.ask(spec, "ecdsep", count=count, worker=Worker.current())


def done(value: float) -> Outcome:
    return Outcome(Status.COMPLETE, value)


def test_failed_trials_run_again_with_the_budget(store: Store, spec: StudySpec) -> None:
    leases = ask(store, spec)
    store.tell(list(zip(leases, [done(1.0), FAILED, FAILED], strict=True)))
    key = spec.key("ecdsep")
    assert ask(store, spec) == []  # the budget is spent
    assert store.retry(key) == 2
    again = ask(store, spec)
    assert [lease.request for lease in again] == [lease.request for lease in leases[1:]]
    assert [lease.attempt for lease in again] == [2, 2]
    store.tell([(lease, done(2.0)) for lease in again])
    counted = [r for r in store.trials(key) if r.counts]
    assert [r.value for r in counted] == [1.0, 2.0, 2.0]
    assert [r.reason for r in store.trials(key) if r.lost] == ["RuntimeError: boom"] * 2
    assert store.retry(key) == 0


def test_diverged_trials_are_not_retried(store: Store, spec: StudySpec) -> None:
    diverged = Outcome(Status.DIVERGED, 1.0, reason="nan")
    store.tell([(lease, diverged) for lease in ask(store, spec)])
    assert store.retry(spec.key("ecdsep")) == 0


def test_invalidated_result_does_not_count(store: Store, spec: StudySpec) -> None:
    leases, key = ask(store, spec), spec.key("ecdsep")
    store.tell([(lease, done(float(n))) for n, lease in enumerate(leases)])
    store.invalidate(key, 0, "the wrong\x00 data")
    record = store.trials(key)[0]
    assert (record.state, record.lost, record.value) == (TrialState.FAIL, True, None)
    assert record.cause is Cause.INVALID
    assert record.reason == r"invalid: the wrong\x00 data"
    (event,) = [e for e in store.events(spec.name) if e.kind == "invalidated"]
    assert (event.detail["value"], event.detail["number"]) == (0.0, 0)
    assert [p.best for p in store.progress(spec.name) if p.key == key] == [1.0]
    (new,) = ask(store, spec)  # another one in its place
    assert new.number == 3
    with pytest.raises(
        StoreError, match="trial 0 does not exist, has not ended, or no longer counts"
    ):
        store.invalidate(key, 0, "once more")


def test_plain_optuna_reads_the_remaining_trials(
    store: Store, spec: StudySpec, tmp_path: Path
) -> None:
    leases, key = ask(store, spec), spec.key("ecdsep")
    store.tell(list(zip(leases, [done(0.5), done(1.0), FAILED], strict=True)))
    store.invalidate(key, 0, "wrong")
    store.retry(key)
    study = optuna.load_study(study_name=key.name, storage=f"sqlite:///{tmp_path / 'a.db'}")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "FAIL", "WAITING"]
    assert study.best_value == 1.0


def test_a_confirmation_run_is_repeated(store: Store, spec: StudySpec) -> None:
    key = spec.key("ecdsep", Stage.CONFIRM)
    item = QueueItem("best:1", {"lr": 0.1, "eta": 2.0}, 500_000, "best")
    store.queue(key, [item])
    (lease,) = store.claim(key, count=1, worker=Worker.current())
    store.tell([(lease, done(1.0))])
    store.invalidate(key, 0, "wrong")
    (again,) = store.claim(key, count=1, worker=Worker.current())
    assert again.request == lease.request
    assert again.source == "best"


def test_running_trial_is_kept(store: Store, spec: StudySpec) -> None:
    ask(store, spec)
    with pytest.raises(StoreError, match="has not ended"):
        store.invalidate(spec.key("ecdsep"), 0, "wrong")
