"""The server restarts, crashes or is unavailable while workers work: all survive."""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from ecd_tune.errors import StorageUnavailableError
from ecd_tune.records import Outcome, Status
from ecd_tune.store import Store, Worker
from ecd_tune.store.db import retrying
from ecd_tune.testing.faults import WorkerGroup, assert_consistent
from ecd_tune.testing.postgres import PostgresServer
from ecd_tune.testing.store import complete, make_spec


@pytest.fixture
def server(postgres):
    """A server of this test's own, which it may stop; ``postgres`` says whether it can be."""
    with PostgresServer() as server:
        yield server


@contextmanager
def back_after(server, seconds):
    """Start the server in a while; it answers before its start is over, which is waited for."""
    timer = threading.Timer(seconds, server.start)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def ask(store, spec, count=1):
    return store.ask(spec, "ecdsep", count=count, worker=Worker.current())


@pytest.mark.parametrize("mode", [pytest.param("fast", marks=pytest.mark.slow), "immediate"])
def test_eight_workers_survive_a_restart(server, mode):
    spec = make_spec(trials=160, retries={"lost": 0})
    url = server.create_database()
    with Store.open(url) as store:
        store.create(spec)
        with WorkerGroup(url, spec, 8, seconds=0.05, count=1).working() as crew:
            while store.progress(spec.name)[0].complete < 40:
                time.sleep(0.02)
            server.stop(mode)
            time.sleep(1.0)
            server.start()
            assert crew.wait(300) == [0] * 8
        records = assert_consistent(store, spec)
        assert not any(record.lost for record in records), "no work was thrown away"


def test_leases_that_expired_during_an_outage_stay_valid(server):
    """An outage longer than a lease: the worker is alive, its trial is not given away."""
    spec = make_spec(trials=2)
    with (
        Store.open(server.create_database(), lease_seconds=1.0) as store,
        Store.open(server.url("test_1"), lease_seconds=1.0) as newcomer,
    ):
        store.create(spec)
        (lease,) = ask(store, spec)
        assert store.reap() == newcomer.reap() == 0
        server.stop()
        with back_after(server, 1.2):
            assert newcomer.reap() == 0
            assert store.reap() == 0
            assert store.renew([lease]) == [True]
            assert store.tell(complete([lease])) == [True]


class LostAnswer:
    """Cuts the connection of the next write, just before or just after it is committed."""

    def __init__(self, store: Store, *, after: bool) -> None:
        self._engine, self._after, self.cuts = store._database.engine, after, 0
        self._commit = self._engine.dialect.do_commit
        self._engine.dialect.do_commit = self._cut_at_commit

    def _cut_at_commit(self, connection: object) -> None:
        raw = connection.driver_connection
        if self.cuts or raw.read_only:
            self._commit(connection)
            return
        if self._after:
            self._commit(connection)
        self._cut(raw)
        raw.execute("SELECT 1")

    def _cut(self, raw: psycopg.Connection) -> None:
        self.cuts += 1
        address = self._engine.url.set(drivername="postgresql")
        with psycopg.connect(address.render_as_string(hide_password=False)) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [raw.info.backend_pid])
        time.sleep(0.05)


@pytest.fixture(params=["before", "after"])
def cut(request):
    return lambda store: LostAnswer(store, after=request.param == "after")


def test_a_commit_without_an_answer_makes_no_duplicates(postgres_url, cut):
    """Ask, claim, tell, queue, release: each once, whether the commit had arrived or not."""
    spec = make_spec(trials=3)
    with Store.open(postgres_url) as store:
        store.create(spec)
        cuts = [cut(store)]
        leases = ask(store, spec, 2)
        assert [lease.number for lease in leases] == [0, 1]
        cuts.append(cut(store))
        assert store.tell(complete(leases[:1])) == [True]
        cuts.append(cut(store))
        store.release(leases[1:])
        cuts.append(cut(store))
        (again,) = ask(store, spec, 1)
        assert (again.number, again.attempt) == (2, 2)
        assert store.tell(complete([again])) == [True]
        assert store.tell(complete(ask(store, spec, 5))) == [True]
        assert ask(store, spec, 5) == []
        assert [event.kind for event in store.events(spec.name)] == ["released"]
        assert sum(record.counts for record in store.trials(spec.key("ecdsep"))) == 3
        assert [c.cuts for c in cuts] == [1] * 4


def test_a_late_result_is_refused_though_its_answer_was_lost(postgres_url, cut):
    spec = make_spec(trials=3)
    with Store.open(postgres_url) as store:
        store.create(spec)
        (late,) = ask(store, spec)
        store.release([late])
        broken = cut(store)
        assert store.tell(complete([late])) == [False]
        assert broken.cuts == 1


def test_an_outage_is_logged_once_a_minute(server, caplog, monkeypatch):
    """Once at its beginning, once a minute, once at its end; never the password."""
    spec = make_spec()
    monkeypatch.setattr(retrying, "_SAY_SECONDS", 0.5)
    monkeypatch.setattr(retrying, "_LONGEST_PAUSE", 0.1)
    with Store.open(server.create_database()) as store:
        store.create(spec)
        server.stop()
        began = time.monotonic()
        with back_after(server, 1.2), caplog.at_level(logging.WARNING):
            assert len(ask(store, spec)) == 1
            seconds = time.monotonic() - began
    texts = [record.getMessage() for record in caplog.records]
    assert "retrying, work continues meanwhile" in texts[0]
    assert "available again after" in texts[-1]
    assert 3 <= len(texts) <= 2 + seconds / 0.5
    assert server.password not in caplog.text
    assert f"127.0.0.1:{server.port}" in texts[0]


def test_waiting_for_the_database_ends(server):
    spec = make_spec()
    with Store.open(server.create_database(), retry_seconds=0.5) as store:
        store.create(spec)
        server.stop()
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match=f"127.0.0.1:{server.port}") as caught:
            ask(store, spec)
        assert time.monotonic() - began < 60
        assert server.password not in str(caught.value)


def test_errors_of_the_program_are_not_outages(postgres_url):
    with Store.open(postgres_url) as store:
        store.create(make_spec())
        with store._database.write() as connection:
            connection.execute(sa.text("DROP TABLE ecd_events CASCADE"))
        with pytest.raises(sa.exc.ProgrammingError, match="ecd_events"):
            store.events("contract")


class FullDisk:
    """Lets a SQLite file not grow any more."""

    def __init__(self, store: Store) -> None:
        self._engine, self.full = store._database.engine, False
        event.listen(self._engine, "begin", self._limit)

    def _limit(self, connection: sa.Connection) -> None:
        pages = 1 if self.full else 1_000_000
        connection.connection.driver_connection.execute(f"PRAGMA max_page_count = {pages}")


def test_full_disk_is_retried_and_loses_no_trial(tmp_path, caplog):
    spec = make_spec(trials=40)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.create(spec)
        disk, chooser = FullDisk(store), random.Random(0)
        for _ in range(40):
            (lease,) = ask(store, spec)
            note = "".join(chooser.choices("abcdef", k=9000))
            disk.full = lease.number == 20
            if disk.full:
                threading.Timer(0.6, setattr, (disk, "full", False)).start()
            assert store.tell([(lease, Outcome(Status.DIVERGED, 1.0, reason=note))]) == [True]
        records = store.trials(spec.key("ecdsep"))
        assert [record.lost for record in records] == [False] * 40
    assert "disk is full; free some space" in caplog.text


def test_unwritable_file_is_retried(tmp_path, caplog):
    spec = make_spec(trials=1)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.create(spec)
        (lease,) = ask(store, spec)
        only = [1]

        def limit(connection: object, *_: object) -> None:
            connection.execute(f"PRAGMA query_only = {only[0]}")

        event.listen(store._database.engine, "checkout", limit)
        threading.Timer(0.5, only.__setitem__, (0, 0)).start()
        assert store.tell(complete([lease])) == [True]
    assert "readonly database; make the file and its folder writable" in caplog.text
