"""A worker stops when its trials fail in the same way, and not because of diverged trials."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ecd_tune.errors import RepeatedFailureError
from ecd_tune.objective import Objective
from ecd_tune.records import Cause, Outcome, Status, StudyKey, TrialRecord, TrialState
from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store
from ecd_tune.testing.store import make_spec
from ecd_tune.worker import StudyWorker
from ecd_tune.worker.failures import FailureStreak

GOOD = Outcome(Status.COMPLETE, 1.0)


def failed(reason: str, cause: Cause = Cause.EXCEPTION) -> Outcome:
    return Outcome(Status.FAILED, reason=reason, cause=cause)


KEY = StudyKey("s", "adam")


def record(outcome: Outcome, number: int = 0) -> TrialRecord:
    state = TrialState.COMPLETE if outcome.status is Status.COMPLETE else TrialState.FAIL
    return TrialRecord(
        KEY, number, state, outcome.value, {}, reason=outcome.reason, cause=outcome.cause
    )


def yes() -> list[TrialRecord]:
    """One trial has a value."""
    return [record(GOOD)]


def no() -> list[TrialRecord]:
    """This worker's own trials are the only ones."""
    return []


def test_three_are_enough_where_no_trial_has_a_value() -> None:
    same = failed("RuntimeError: lost")
    FailureStreak(10).add([same] * 9, yes)
    FailureStreak(10).add([same, same, failed("ValueError: other"), same, same], no)
    with pytest.raises(
        RepeatedFailureError, match=r"first 3 trials failed in the same way.* none has a value"
    ):
        FailureStreak(10).add([same] * 9, no)


def test_the_first_failures_are_counted_on_all_workers_together() -> None:
    same, other = failed("RuntimeError: device 1 lost"), failed("ValueError: other")
    elsewhere = [record(same), record(other)]
    FailureStreak(10).add([same], lambda: [*elsewhere, record(same)])
    with pytest.raises(
        RepeatedFailureError, match=r"first 3 trials failed in the same way, over all workers"
    ):
        FailureStreak(10).add([same], lambda: [*elsewhere, record(same), record(same)])
    lost = dataclasses.replace(record(same), lost=True)  # put back into the queue
    FailureStreak(10).add([same], lambda: [lost, lost, lost, record(same)])
    FailureStreak(10).add([same], lambda: [*[record(same)] * 5, record(GOOD)])


def test_equal_failures_in_a_row_are_counted_without_their_numbers() -> None:
    streak = FailureStreak(3)
    streak.add([failed("RuntimeError: device 1 lost"), failed("RuntimeError: device 2 lost")], yes)
    with pytest.raises(RepeatedFailureError, match=r"3 consecutive trials.*device 3 lost"):
        streak.add([failed("RuntimeError: device 3 lost")], yes)


@pytest.mark.parametrize(
    "between", [GOOD, failed("ValueError: other"), Outcome(Status.DIVERGED, 1.0, reason="x")]
)
def test_other_outcomes_reset_the_streak(between: Outcome) -> None:
    streak, same = FailureStreak(3), failed("RuntimeError: lost")
    streak.add([same, same, between, same, same], yes)


def test_diverged_trials_do_not_count_as_failures() -> None:
    FailureStreak(2).add([failed("loss became nan at iteration 0", Cause.NON_FINITE)] * 50, no)


def test_exception_with_non_finite_in_its_message_counts() -> None:
    same = failed("ValueError: non-finite values in the input")
    with pytest.raises(RepeatedFailureError):
        FailureStreak(2).add([same, same], yes)


def failing(spec: StudySpec, monkeypatch: pytest.MonkeyPatch, url: str) -> list[str | None]:
    monkeypatch.setattr(
        Objective,
        "evaluate",
        lambda self, requests, **_: [failed("RuntimeError: no driver") for _ in requests],
    )
    with Store.open(url) as store:
        with pytest.raises(RepeatedFailureError, match="no driver"):
            StudyWorker(store, spec, StopFlag()).run()
        assert not any(p.running for p in store.progress(spec.name))
        return [record.reason for record in store.trials(spec.key("ecdsep")) if record.counts]


def test_the_worker_stops_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(trials=50, retries={"stop_worker_after": 4})
    url = f"sqlite:///{tmp_path / 'a.db'}"
    # As many as tell that nothing works, where nothing has worked yet.
    assert failing(spec, monkeypatch, url) == ["RuntimeError: no driver"] * 3


def test_retried_trials_are_not_used_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec(trials=50, retries={"stop_worker_after": 4, "exception": 9})
    assert failing(spec, monkeypatch, f"sqlite:///{tmp_path / 'a.db'}") == []


def test_failures_of_other_workers_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, url = make_spec(trials=50, search={"repeats": 2}), f"sqlite:///{tmp_path / 'a.db'}"
    assert failing(spec, monkeypatch, url) == ["RuntimeError: no driver"] * 3
    assert failing(spec, monkeypatch, url) == ["RuntimeError: no driver"] * 4
    with Store.open(url) as store:
        store.retry(spec.key("ecdsep"))
    assert failing(spec, monkeypatch, url) == ["RuntimeError: no driver"] * 3  # a fresh start
