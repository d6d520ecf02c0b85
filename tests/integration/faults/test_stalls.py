"""Workers that stall, and machines whose clocks are wrong."""

from __future__ import annotations

import os
import signal
import time

import pytest
from sqlalchemy import event

from ecd_tune.store import Store, Worker
from ecd_tune.testing.faults import WorkerGroup, assert_consistent
from ecd_tune.testing.store import complete, make_spec, reap_expired


def test_stalled_worker_is_fenced_and_continues(url):
    """Stopped for longer than its lease: its late result is refused, and it asks for more."""
    spec = make_spec(trials=4, retries={"lost": 3})
    with Store.open(url, lease_seconds=0.2) as store:
        store.create(spec)
        with WorkerGroup(url, spec, 1, seconds=0.4, count=1).working() as stalled:
            (process,) = stalled.processes
            while not store.progress(spec.name)[0].running:
                time.sleep(0.01)
                os.kill(process.pid, signal.SIGSTOP)
                if store.progress(spec.name)[0].running:
                    break
                os.kill(process.pid, signal.SIGCONT)
            assert reap_expired(store) == 1
            os.kill(process.pid, signal.SIGCONT)
            assert stalled.wait(300) == [0]
        records = assert_consistent(store, spec)
        assert [record.lost for record in records].count(True) == 1
        assert [event.kind for event in store.events(spec.name)] == ["lost", "fenced"]


def set_clock(store, days):
    """Set the clock that a store's database goes by: on SQLite it is the machine's own."""

    def connect(connection, record):
        (right,) = connection.execute("SELECT julianday('now')").fetchone()
        began = time.monotonic()
        wrong = right + days
        connection.create_function(
            "julianday", 1, lambda text: wrong + (time.monotonic() - began) / 86400
        )

    store._database.engine.dispose()
    event.listen(store._database.engine, "connect", connect)


@pytest.fixture(params=[-10, 0, 10], ids="{} days".format)
def wrong(request, url):
    """A store on a machine whose clock is behind, right or ahead."""
    with Store.open(url, lease_seconds=0.1) as store:
        store.create(SPEC)
        if url.startswith("sqlite"):
            set_clock(store, request.param)
        yield store


SPEC = make_spec(trials=5)
ELSEWHERE = Worker("elsewhere", "another-boot", 1, 0)


def test_wrong_clock_reaps_no_healthy_lease(url, wrong):
    with Store.open(url) as right:
        leases = right.ask(SPEC, "ecdsep", count=5, worker=ELSEWHERE)
        for _ in range(5):
            assert right.renew(leases) == [True] * 5
            assert wrong.reap() == 0
            time.sleep(0.05)
        assert right.tell(complete(leases)) == [True] * 5


def test_wrong_clock_keeps_renewed_leases(url, wrong):
    with Store.open(url, lease_seconds=0.1) as right:
        kept, dead = wrong.ask(SPEC, "ecdsep", count=2, worker=ELSEWHERE)
        reaped = []
        for _ in range(4):
            assert wrong.renew([kept]) == [True]
            reaped.append(right.reap())
            time.sleep(0.05)
        assert reaped == [0, 0, 0, 1], "the one that was not renewed, and no other"
        assert wrong.tell(complete([kept, dead])) == [True, False]
