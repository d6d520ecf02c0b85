"""The store through a real PgBouncer that sends every transaction to any of its servers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from ecd_tune.records import Outcome, Stage, Status
from ecd_tune.store import CurvePoint, QueueItem, Store, Worker
from ecd_tune.testing.pgbouncer import PgBouncer, find_pgbouncer
from ecd_tune.testing.postgres import PostgresServer
from ecd_tune.testing.store import complete, make_spec

pytestmark = pytest.mark.skipif(find_pgbouncer() is None, reason="no pgbouncer is installed")

SERVERS = 4  # three at once are needed while the tables are made
CLIENTS = 8
SPEC = make_spec("tpe", trials=60, retries={"lost": 1, "exception": 1})


@pytest.fixture(scope="module")
def pooled(postgres: PostgresServer) -> Iterator[str]:
    """Start a PgBouncer before a database of its own; yield the URL through it."""
    with PgBouncer(postgres.create_database(), SERVERS) as pgbouncer:
        yield pgbouncer.url


def use(store: Store, host: str) -> int:
    """Ask, renew, report, tell and reap until nothing is left; return how many were told."""
    worker, told = Worker(host, "", 1, 0), 0
    while leases := store.ask(SPEC, "ecdsep", count=3, worker=worker):
        assert store.renew(leases) == [True] * len(leases)
        point = CurvePoint(leases[0].trial_id, leases[0].token, 0, 1.0)
        assert store.report([point]) == 0
        assert store.reap() == 0
        told += sum(store.tell(complete(leases), [point._replace(step=1)]))
        assert len(store.trials(SPEC.key("ecdsep"))) >= told
    return told


def test_many_clients_share_few_servers(pooled: str) -> None:
    """Each with its own store; the budget is met exactly, and nothing is prepared by name."""
    with ExitStack() as stack:
        stores = [
            stack.enter_context(Store.open(pooled, retry_seconds=10.0)) for _ in range(CLIENTS)
        ]
        stores[0].create(SPEC)
        with ThreadPoolExecutor(CLIENTS) as threads:
            told = list(threads.map(use, stores, map(str, range(CLIENTS))))
        assert sum(told) == 60
        records = stores[0].trials(SPEC.key("ecdsep"))
        assert [record.number for record in records] == list(range(60))
        address = make_url(pooled).set(drivername="postgresql")
        with psycopg.connect(
            address.render_as_string(hide_password=False), prepare_threshold=None
        ) as connection:
            name = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            assert connection.execute(name).fetchone()[0] <= SERVERS
            prepared = connection.execute("SELECT count(*) FROM pg_prepared_statements")
            assert prepared.fetchone() == (0,)


def test_rollback_queueing_and_release_work_through_pgbouncer(pooled: str) -> None:
    """Beside a batch of hundreds."""
    spec, worker = make_spec(trials=700, name="second", retries={"exception": 1}), Worker.current()
    with Store.open(pooled, retry_seconds=10.0) as store:
        store.create(spec)
        for _ in range(8):  # as often as psycopg waits before it would prepare a statement
            (lease,) = store.ask(spec, "ecdsep", count=1, worker=worker)
            assert store.tell(complete([lease])) == [True]
        with pytest.raises(sa.exc.DataError):
            store._write(lambda connection: connection.execute(sa.text("SELECT 1 / 0")))
        leases = store.ask(spec, "ecdsep", count=512, worker=worker)
        assert len(leases) == 512
        assert all(store.tell(complete(leases)))
        first, second = store.ask(spec, "ecdsep", count=2, worker=worker)
        assert store.release([first]) == 1
        failed = Outcome(Status.FAILED, reason="RuntimeError: no luck")
        assert store.tell([(second, failed)]) == [True]
        again = store.ask(spec, "ecdsep", count=2, worker=worker)
        assert [lease.attempt for lease in again] == [2, 2]
        key = spec.key("ecdsep", Stage.CONFIRM)
        assert store.queue(key, [QueueItem(f"a:{i}", {"lr": 0.1}, i) for i in range(30)]) == 30
        assert len(store.claim(key, count=20, worker=worker)) == 20
