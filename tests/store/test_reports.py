"""Points of curves: quick for the caller, stored in the background, fenced like results."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

from ecd_tune.errors import StorageUnavailableError
from ecd_tune.records import METRIC, Curve, Lease, Outcome, RunRequest, Status, StudyKey
from ecd_tune.signals import StopFlag
from ecd_tune.spec import parse_study
from ecd_tune.store import CurvePoint, ReportBuffer, Store, Worker
from ecd_tune.testing.store import make_spec
from ecd_tune.worker import StudyWorker

HANG = 100.0
"""Seconds after which something hangs."""
LEASE = Lease(StudyKey("a", "b"), 1, 0, 1, 1, RunRequest({}, 0))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'a.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as store:
        store.create(make_spec())
        yield store


def ask(store: Store, count: int = 1) -> list[Lease]:
    return store.ask(make_spec(), "ecdsep", count=count, worker=Worker.current())


def stored(url: str, number: int = 0) -> dict[int, float]:
    study = optuna.load_study(study_name="contract/ecdsep", storage=url)
    return study.trials[number].intermediate_values


def point(lease: Lease, step: int, value: float) -> CurvePoint:
    return CurvePoint(lease.trial_id, lease.token, step, value)


class TestStored:
    def test_a_running_trial_shows_its_points_in_optuna(self, store, url):
        (lease,) = ask(store)
        assert store.report([point(lease, step, step / 2) for step in range(4)]) == 0
        assert stored(url) == {0: 0.0, 1: 0.5, 2: 1.0, 3: 1.5}

    def test_numbers_that_are_not_finite_are_what_optuna_reads(self, store, url):
        (lease,) = ask(store)
        store.report([point(lease, 0, math.inf), point(lease, 1, -math.inf)])
        store.report([point(lease, 2, math.nan), point(lease, 3, 1e308)])
        values = stored(url)
        assert (values[0], values[1], values[3]) == (math.inf, -math.inf, 1e308)
        assert math.isnan(values[2])

    def test_duplicate_points_are_stored_once(self, store, url):
        (lease,) = ask(store)
        for value in (1.0, 2.0):
            store.report([point(lease, 0, 0.0), point(lease, 5, 9.0), point(lease, 5, value)])
        assert stored(url) == {0: 0.0, 5: 2.0}

    def test_after_the_lease_is_gone_nothing_is_stored(self, store, url):
        gone, standing = ask(store, 2)
        store.release([gone])
        assert store.report([point(gone, 0, 1.0), point(standing, 0, 2.0)]) == 1
        assert stored(url, 0) == {}
        assert stored(url, 1) == {0: 2.0}

    def test_a_token_fits_its_own_trial_only(self, store, url):
        one, two = ask(store, 2)
        assert store.report([CurvePoint(one.trial_id, two.token, 0, 1.0)]) == 1
        assert stored(url) == {}

    def test_tell_stores_the_remaining_points(self, store, url):
        (lease,) = ask(store)
        store.report([point(lease, 0, 3.0)])
        store.tell([(lease, Outcome(Status.COMPLETE, 1.0))], [point(lease, 1, 1.0)])
        assert stored(url) == {0: 3.0, 1: 1.0}
        assert store.report([point(lease, 2, 1.0)]) == 1

    def test_late_tell_stores_no_points(self, store, url):
        (lease,) = ask(store)
        store.release([lease])
        assert store.tell([(lease, Outcome(Status.COMPLETE, 1.0))], [point(lease, 0, 1.0)]) == [
            False
        ]
        assert stored(url) == {}

    @pytest.mark.parametrize("early", [True, False])
    def test_a_diverged_trial_keeps_its_best_value_as_the_last(self, store, url, early):
        (lease,) = ask(store)
        points = [point(lease, 0, 1.0), point(lease, 1, 7.0)]
        if early:
            store.report(points)
        outcome = Outcome(
            Status.DIVERGED, 1.0, curves={METRIC: Curve((0, 1), (1.0, 7.0))}, reason="x"
        )
        assert store.tell([(lease, outcome)], [] if early else points) == [True]
        # Where samplers look for the value of a pruned trial.
        assert stored(url) == {0: 1.0, 1: 1.0}


class Sink:
    """Takes points; may be away, slow or broken."""

    def __init__(self) -> None:
        self.batches: list[list[CurvePoint]] = []
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def __call__(self, points):
        self.entered.set()
        self.open.wait()
        if self.error is not None:
            raise self.error
        self.batches.append(list(points))
        return 0

    @property
    def steps(self):
        return [[p.step for p in batch] for batch in self.batches]


class TestBuffer:
    def test_a_call_costs_the_caller_less_than_a_tenth_of_a_millisecond(self, store):
        (lease,) = ask(store)
        buffer, times = ReportBuffer(store.report, interval=0.01), []
        with buffer.flushing():
            for step in range(3000):
                # Not the time on the wall: others may want the processor too.
                began = time.thread_time()
                buffer.report(lease, step, 0.5)
                times.append(time.thread_time() - began)
                if step % 100 == 0:
                    time.sleep(0.005)  # so that the thread writes in between
        times.sort()
        assert times[int(0.99 * len(times))] <= 1e-4
        assert len(buffer.take()) < 3000

    def test_one_write_per_interval(self):
        sink = Sink()
        buffer = ReportBuffer(sink, interval=0.05)
        for step in range(3):
            buffer.report(LEASE, step, 0.0)
        with buffer.flushing():
            assert sink.entered.wait(HANG)
        assert sink.steps == [[0, 1, 2]]
        assert buffer.take() == []

    def test_short_trials_are_written_by_tell(self):
        sink = Sink()
        buffer = ReportBuffer(sink, interval=60)
        with buffer.flushing():
            buffer.report(LEASE, 0, 0.5)
        assert buffer.take() == [CurvePoint(1, 1, 0, 0.5)]
        assert buffer.take() == sink.batches == []

    def test_outage_neither_blocks_nor_loses_points(self, caplog):
        sink = Sink()
        sink.error = StorageUnavailableError("gone")
        buffer = ReportBuffer(sink, interval=60)
        with caplog.at_level(logging.WARNING):
            for step in range(3):
                buffer.report(LEASE, step, 0.0)
                buffer.flush()
        assert caplog.text.count("gone") == 1
        sink.error = None
        buffer.report(LEASE, 3, 0.0)
        buffer.flush()
        assert sink.steps == [[0, 1, 2, 3]]
        assert (buffer.dropped, buffer.refused) == (0, 0)

    def test_a_slow_database_does_not_slow_the_caller(self):
        sink = Sink()
        sink.open.clear()
        buffer = ReportBuffer(sink, interval=0.001)
        buffer.report(LEASE, 0, 0.0)
        with buffer.flushing():
            assert sink.entered.wait(HANG)
            for step in range(1, 100):
                buffer.report(LEASE, step, 0.0)  # would wait for ever: no one opens the sink
            sink.open.set()
        assert [s for steps in sink.steps for s in steps] + [p.step for p in buffer.take()] == list(
            range(100)
        )

    def test_buffer_is_bounded_and_keeps_the_newest(self):
        sink = Sink()
        sink.error = StorageUnavailableError("gone")
        buffer = ReportBuffer(sink, interval=60, limit=10)
        for step in range(25):
            buffer.report(LEASE, step, 0.0)
            if step % 7 == 0:
                buffer.flush()
        assert [p.step for p in buffer.take()] == list(range(15, 25))
        assert buffer.dropped == 15

    def test_points_that_cannot_be_stored_are_dropped(self, caplog):
        sink = Sink()
        sink.error = ValueError("a mistake")
        buffer = ReportBuffer(sink, interval=60)
        buffer.report(LEASE, 0, 0.0)
        with caplog.at_level(logging.WARNING):
            buffer.flush()
        assert "a mistake" in caplog.text
        assert (buffer.take(), buffer.dropped) == ([], 1)

    def test_closing_does_not_wait_for_the_database(self):
        sink = Sink()
        sink.open.clear()
        buffer = ReportBuffer(sink, interval=0.001)
        buffer.report(LEASE, 0, 0.0)

        def leave():
            with buffer.flushing():
                assert sink.entered.wait(HANG)
                buffer.report(LEASE, 1, 0.0)
                raise KeyError

        with pytest.raises(KeyError):
            leave()  # would wait for ever: no one opens the sink
        sink.open.set()
        assert buffer.take() == []
        for thread in threading.enumerate():
            if thread.name == "reports":
                thread.join(HANG)
                assert not thread.is_alive(), "it continues writing"

    def test_refused_points_are_counted(self, store, url):
        (lease,) = ask(store)
        buffer = ReportBuffer(store.report, interval=60)
        buffer.report(lease, 0, 1.0)
        store.release([lease])
        buffer.flush()
        assert buffer.refused == 1
        assert stored(url) == {}


def test_a_training_trial_costs_two_commits_and_leaves_its_curve(url, monkeypatch):
    # Longer than the test takes on a busy machine: neither points nor leases are due meanwhile.
    monkeypatch.setattr(ReportBuffer.__init__, "__defaults__", (6000.0, 1000))
    spec = parse_study(
        {
            "name": "curves",
            "task": {"name": "digits", "hidden": 8, "batch_size": 512},
            "budget": {"trials": 6, "steps": 4},
            "sampler": {"name": "random"},
            "confirmation": {"runs": 0},
            "optimizers": {"adam": {"space": {"lr": {"low": 1e-3, "high": 1e-2}}}},
        }
    )
    writes: list[str] = []

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def count(connection, cursor, statement, *rest):
        writes.extend([statement] * (statement == "BEGIN IMMEDIATE"))

    try:
        with Store.open(url, lease_seconds=6000.0) as store:
            store.create(spec)
            writes.clear()
            StudyWorker(store, spec, StopFlag()).run()
            records = store.trials(spec.key("adam"))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    # To ask and to tell; beside these the study, and to look at its end.
    assert 2 * 6 <= len(writes) <= 2 * 6 + 2
    study = optuna.load_study(study_name="curves/adam", storage=url)
    for record, trial in zip(records, study.trials, strict=True):
        curve = dict(zip(record.curve.steps, record.curve.values, strict=True))
        assert len(curve) == 5
        assert trial.intermediate_values == curve
