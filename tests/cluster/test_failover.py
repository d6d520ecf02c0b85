"""A streaming replica takes over under load, without the primary's last transactions."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from ecd_tune.store import Store
from ecd_tune.testing.faults import WorkerGroup, assert_consistent
from ecd_tune.testing.launcher import wait_until
from ecd_tune.testing.postgres import PostgresServer
from ecd_tune.testing.store import make_spec
from ecd_tune.testing.store.study import complete_value

pytestmark = pytest.mark.slow

TRIALS = 300
WORKERS = 6


@pytest.fixture
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    with PostgresServer() as primary, PostgresServer(follows=primary) as replica:
        yield primary, replica


def both(primary: PostgresServer, replica: PostgresServer) -> str:
    """The URL of whichever takes writes, as libpq has it."""
    hosts = [f"127.0.0.1:{server.port}" for server in (primary, replica)]
    url = make_url(primary.url("studies")).set(host=None, port=None)
    query = {"host": hosts, "target_session_attrs": "read-write"}
    return url.update_query_dict(query).render_as_string(hide_password=False)


def finished(url: str, name: str) -> int:
    with Store.open(url, create=False) as store:
        return store.progress(name)[0].finished


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_all_workers_continue_and_the_budget_is_exact(servers, sampler: str) -> None:
    primary, replica = servers
    primary._execute("CREATE DATABASE {}", "studies")
    spec, url = make_spec(sampler, trials=TRIALS), both(primary, replica)
    with Store.open(url) as store:
        store.create(spec)
    crew = WorkerGroup(url, spec, WORKERS, seconds=0.05, lease_seconds=3.0)
    with crew.working():
        wait_until(lambda: finished(url, spec.name) >= TRIALS // 5, "the first trials")
        replica.cut_off()
        known = finished(replica.url("studies"), spec.name)
        wait_until(lambda: finished(url, spec.name) >= known + 20, "trials that will be lost")
        before = finished(url, spec.name)
        primary.stop("immediate")
        time.sleep(1.0)
        replica.promote()
        assert known < before, "nothing was lost: the test shows nothing"
        assert crew.wait(300.0) == [0] * WORKERS
    with Store.open(replica.url("studies"), create=False) as store:
        records = assert_consistent(store, spec)
        for record in records:
            if record.counts:
                assert record.value == complete_value(record.params), record.number
