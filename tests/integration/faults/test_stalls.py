"""Workers that stall, and machines whose clocks are wrong."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from ecd_tune.store import Store, Worker
from ecd_tune.store.db import cells
from ecd_tune.store.db.engine import Database
from ecd_tune.testing.faults import Crew, assert_whole
from ecd_tune.testing.store import complete, make_spec


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture(autouse=True)
def up_for_long():
    """Let the server, which the tests have just started, count as up for as long as a lease."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "up_for", lambda self, seconds: sa.true())
        yield


def let_the_leases_run_out(store):
    """Make the leases older by their length, so that the test need not wait for it."""
    with store._database.write() as connection:
        connection.execute(
            sa.text("UPDATE ecd_leases SET expires_at = expires_at - :seconds"),
            {"seconds": store.lease_seconds},
        )


def test_a_stalled_worker_is_fenced_and_goes_on(url):
    """Stopped for longer than its lease: its late result is refused, and it asks for more."""
    spec = make_spec(trials=4, retries={"lost": 3})
    with Store.open(url) as store:
        store.create(spec)
        with Crew(url, spec, 1, seconds=0.4, count=1).working() as stalled:
            while not store.progress(spec.name)[0].running:
                time.sleep(0.01)
            (process,) = stalled.processes
            os.kill(process.pid, signal.SIGSTOP)
            let_the_leases_run_out(store)
            assert store.reap() == 1
            os.kill(process.pid, signal.SIGCONT)
            assert stalled.wait(150) == [0]
        records = assert_whole(store, spec)
        assert [record.lost for record in records].count(True) == 1
        assert [event.kind for event in store.events(spec.name)] == ["lost", "fenced"]


@pytest.mark.parametrize("days", [-1, 1])
def test_a_wrong_clock_takes_no_trial_away_and_keeps_none(url, days, monkeypatch):
    """Leases are granted, renewed and judged by the database's clock."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=days)

    honest = time.time
    spec = make_spec(trials=2)
    with Store.open(url) as right, Store.open(url) as wrong:
        right.create(spec)
        (lease,) = right.ask(spec, "ecdsep", count=1, worker=Worker.current())
        monkeypatch.setattr(cells, "datetime", Wrong)
        monkeypatch.setattr(time, "time", lambda: honest() + days * 86400)
        assert wrong.reap() == 0
        (other,) = wrong.ask(spec, "ecdsep", count=1, worker=Worker.current())
        monkeypatch.undo()
        assert right.reap() == 0
        let_the_leases_run_out(right)
        assert wrong.renew([other]) == [True]
        assert right.reap() == 1, "the lease that was not renewed, and no other"
        assert right.tell(complete([lease, other])) == [False, True]
