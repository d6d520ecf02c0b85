"""A run that takes too long is ended anywhere, and the worker continues."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ecd_tune.objective import Objective
from ecd_tune.records import Cause, Outcome, Stage, Status, TrialState
from ecd_tune.signals import HUNG_STATUS, StopFlag
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store
from ecd_tune.testing.store import make_spec
from ecd_tune.worker import StudyWorker, lease_runner
from ecd_tune.worker.time_limit import TimeLimit, TimeLimitError


def not_called() -> None:
    raise AssertionError("it came back by itself")


def spin() -> None:
    while True:
        pass


def swallow() -> None:
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


def wait_deafly(event: threading.Event) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        event.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})


@pytest.mark.parametrize("hang", [spin, swallow, lambda: time.sleep(10_000)])
def test_code_that_hangs_is_ended(hang: Callable[[], None]) -> None:
    former = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeLimitError), TimeLimit(not_called, 1000).holding(0.05):
        hang()
    assert signal.getsignal(signal.SIGALRM) is former
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0  # ours repeats itself


def test_foreign_timer_is_kept() -> None:
    fired = threading.Event()
    former = signal.signal(signal.SIGALRM, lambda *_: fired.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with TimeLimit(not_called).holding(1000):
            time.sleep(0.1)
        assert fired.wait(100)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def test_outside_the_main_thread_each_step_checks() -> None:
    ended = []

    def work() -> None:
        limit = TimeLimit(not_called, 1000)
        try:
            with limit.holding(0.05):
                while True:
                    limit.check()
        except TimeLimitError:
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_no_check_without_a_limit() -> None:
    limit = TimeLimit(not_called, 0.0)
    with limit.holding(None):
        limit.check()


def test_hang_outside_python_is_reported_by_a_thread() -> None:
    """A blocked signal stands for a library that hangs."""
    stuck = threading.Event()
    with pytest.raises(TimeLimitError), TimeLimit(stuck.set, 0.01).holding(0.01):
        wait_deafly(stuck)


def test_a_longer_confirmation_may_take_longer() -> None:
    spec = make_spec(budget={"trials": 2, "steps": 10, "timeout": 3}, confirmation={"steps": 40})
    assert [spec.timeout(stage) for stage in (Stage.SEARCH, Stage.CONFIRM)] == [3, 12]
    assert make_spec().timeout(Stage.SEARCH) is None
    bare = make_spec(budget={"trials": 2, "steps": 10}, confirmation={"steps": 40})
    assert spec.fingerprint("ecdsep") == bare.fingerprint("ecdsep")


def hanging(hang: Callable[[], Any]) -> Callable[..., list[Outcome]]:
    """Trial 1 hangs, the others have a value at once."""

    def evaluate(self: Objective, requests: Any, **_: Any) -> list[Outcome]:
        for request in requests:
            if request.seed == 1:
                hang()
        return [Outcome(Status.COMPLETE, 1.0) for _ in requests]

    return evaluate


def limited(retries: int = 0) -> StudySpec:
    return make_spec(
        budget={"trials": 3, "steps": 10, "timeout": 2},
        confirmation={"runs": 0},
        retries={"timeout": retries},
    )


@pytest.mark.parametrize("retries", [0, 1])
def test_trial_fails_with_its_cause_and_the_worker_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    monkeypatch.setattr(Objective, "evaluate", hanging(lambda: time.sleep(10_000)))
    spec = limited(retries)
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        StudyWorker(store, spec, StopFlag()).run()
        trials = [r for r in store.trials(spec.key("ecdsep")) if r.counts]
    good, bad = TrialState.COMPLETE, TrialState.FAIL
    assert sorted(r.state for r in trials) == [good, good, bad]
    failed = next(r for r in trials if r.state is bad)
    assert failed.cause is Cause.TIMEOUT
    assert (failed.seed, failed.attempt) == (1, 1 + retries)
    assert "exceeded the time limit of 2 s" in (failed.reason or "")
    assert failed.cost.seconds > 0


def test_worker_that_cannot_end_a_trial_reports_it_and_exits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = threading.Event()
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        left.set()

    # When it has left, the process would have ended.
    monkeypatch.setattr(Objective, "evaluate", hanging(lambda: wait_deafly(left)))
    monkeypatch.setattr(lease_runner, "TimeLimit", partial(TimeLimit, grace=0.01))
    spec = limited()
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        summary = StudyWorker(store, spec, StopFlag(), leave=leave).run()
        causes = [r.cause for r in store.trials(spec.key("ecdsep"))]
    assert statuses == [HUNG_STATUS]
    assert causes == [Cause.COMPLETE, Cause.TIMEOUT, Cause.COMPLETE]
    assert summary.refused == 1  # its own word came second
