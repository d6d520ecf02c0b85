"""Rows that are locked for longer than PostgreSQL's lock_timeout are retried."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from ecd_tune.records import Outcome, Status
from ecd_tune.store import Store, Worker
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.url import parse_url
from ecd_tune.testing.store import make_spec

SPEC = make_spec(trials=5)


@pytest.mark.parametrize(
    "table", [tables.leases, optuna_tables.trials], ids=lambda table: table.name
)
def test_call_succeeds_after_the_lock_is_released(postgres_url: str, table: sa.Table) -> None:
    url = sa.make_url(postgres_url).update_query_dict({"options": "-c lock_timeout=100"})
    engine = sa.create_engine(parse_url(postgres_url), poolclass=sa.NullPool)
    with Store.open(url.render_as_string(hide_password=False), retry_seconds=60.0) as store:
        store.create(SPEC)
        (lease,) = store.ask(SPEC, "ecdsep", count=1, worker=Worker.current())
        done: list[object] = []
        failed = Outcome(Status.FAILED, reason="why not")

        def call() -> None:
            done.append(store.tell([(lease, failed)]))
            done.append(len(store.ask(SPEC, "ecdsep", count=1, worker=Worker.current())))

        thread = threading.Thread(target=call)
        with engine.begin() as connection:
            connection.execute(sa.select(table).with_for_update())
            thread.start()
            thread.join(1.0)  # ten times the timeout
            assert thread.is_alive()
        thread.join(120.0)
        assert done == [[True], 1]
