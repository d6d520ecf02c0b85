"""Cost of transactions, and rollback of failed ones, on both databases."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DataError, IntegrityError

from ecd_tune.errors import FingerprintMismatchError
from ecd_tune.records import Cause, Outcome, Status
from ecd_tune.store import Store, Worker
from ecd_tune.store.db import tables
from ecd_tune.store.db.engine import Database
from ecd_tune.store.db.retrying import OutageError
from ecd_tune.store.db.sql import now
from ecd_tune.testing.store import complete, make_spec
from tests.integration.asking import SPEC, ask


def use(store: Store) -> None:
    """Tell, read and reap so often that a driver would begin to prepare statements."""
    for _ in range(7):
        assert store.tell(complete(ask(store))) == [True]
        store.trials(SPEC.key("ecdsep"))
        store.reap()


def test_number_of_statements_does_not_grow_with_the_batch(store: Store) -> None:
    """As many for a hundred trials as for two."""
    store.tell(complete(ask(store)))
    sent: list[str] = []
    engine = store._database.engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    sizes = []
    for count in (2, 100):
        sent.clear()
        assert all(store.tell(complete(ask(store, count))))
        sizes.append(len(sent))
    assert sizes[0] == sizes[1] <= 20


def raise_serialization_failure(connection: sa.Connection) -> None:
    connection.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$"))


def raise_data_error(connection: sa.Connection) -> None:
    connection.execute(sa.text("SELECT 1 / 0"))


def raise_by_hand(connection: sa.Connection) -> None:
    raise LookupError


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (raise_serialization_failure, OutageError),
        (raise_data_error, DataError),
        (raise_by_hand, LookupError),
    ],
)
def test_store_works_after_a_rollback(postgres_url, fail, error) -> None:
    """On the connection that it was rolled back on too; what it wrote is undone."""
    with Store.open(postgres_url, retry_seconds=5.0) as store:
        store.create(SPEC)
        use(store)
        (lease,) = ask(store)

        def change() -> None:
            with store._database.write() as connection:
                connection.execute(sa.delete(tables.leases))
                fail(connection)

        with pytest.raises(error):
            change()
        assert store.renew([lease]) == [True]
        use(store)
        assert store.tell(complete([lease])) == [True]
        prepared = sa.text("SELECT count(*) FROM pg_prepared_statements")
        with store._database.read() as connection:
            assert connection.execute(prepared).scalar() == 0


def test_a_transaction_that_is_retried_succeeds_on_its_second_try(postgres_url) -> None:
    """Though the first failed after statements that the driver has seen often."""
    with Store.open(postgres_url, retry_seconds=5.0) as store:
        store.create(SPEC)
        use(store)
        tries = []

        def change(connection: sa.Connection) -> int:
            tries.append(1)
            count = connection.execute(sa.select(sa.func.count()).select_from(tables.runs))
            if len(tries) == 1:
                raise_serialization_failure(connection)
            return count.scalar_one()

        assert store._write(change) == 7
        assert len(tries) == 2


def test_refused_study_file_changes_nothing(store: Store) -> None:
    use(store)
    with pytest.raises(FingerprintMismatchError):
        store.create(make_spec("tpe", trials=500, seed=3))
    use(store)


def test_failed_batch_is_rolled_back(store: Store, monkeypatch) -> None:
    """Neither its trials nor its leases; the next ask draws the same numbers."""
    # The row of the worker is missing, which the last insertion, that of the leases, needs.
    monkeypatch.setattr("ecd_tune.store.trials.draw.Drawer.register", lambda *arguments: ())
    with pytest.raises(IntegrityError):
        ask(store, 3)
    monkeypatch.undo()
    assert store.trials(SPEC.key("ecdsep")) == []
    assert [lease.number for lease in ask(store, 3)] == [0, 1, 2]


def test_a_lost_connection_is_an_outage(postgres_url: str) -> None:
    """The next one is new."""

    def lose(database: Database) -> None:
        with database.write() as connection:
            mine = connection.execute(sa.select(sa.func.pg_backend_pid())).scalar_one()
            with database.engine.connect() as other:
                other.execute(sa.select(sa.func.pg_terminate_backend(mine)))
            connection.execute(sa.select(tables.runs.c.trial_id))

    with Store.open(postgres_url, retry_seconds=1.0) as store:
        with pytest.raises(OutageError):
            lose(store._database)
        assert store.studies() == []


def test_the_clock_is_that_of_the_database(store: Store) -> None:
    """It continues within a transaction, and is near this machine's on this machine."""
    with store._database.write() as connection:
        before, after = (connection.execute(sa.select(now())).scalar_one() for _ in range(2))
    assert before <= after
    assert after == pytest.approx(time.time(), abs=60.0)


def test_only_results_are_synced_to_disk_by_sqlite(tmp_path) -> None:
    """Who is leased what, a crash of the machine may undo: the worker is gone with it."""
    with Store.open(f"sqlite:///{tmp_path / 'trials.db'}") as store:
        store.create(SPEC)
        seen: list[str] = []
        event.listen(
            store._database.engine,
            "before_cursor_execute",
            lambda *arguments: seen.extend(
                [arguments[2]] if arguments[2].startswith("PRAGMA") else []
            ),
        )
        leases = ask(store)
        assert seen == ["PRAGMA synchronous=NORMAL"]
        store.tell(complete(leases))
        assert seen[1:] == ["PRAGMA synchronous=FULL"]
        with store._database.write(durable=True) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_migration_derives_causes_from_messages(store: Store) -> None:
    """By the migration: the same as were told."""
    spec = make_spec(trials=9, name="causes")
    store.create(spec)
    failed = Status.FAILED
    outcomes = [
        Outcome(Status.COMPLETE, 1.0),
        Outcome(Status.DIVERGED, 1.0, reason="loss became non-finite (inf) at iteration 3"),
        Outcome(Status.PRUNED, 1.0, reason="pruned by median after epoch 2"),
        Outcome(failed, reason="loss became non-finite (nan) at step 0", cause=Cause.NON_FINITE),
        Outcome(failed, reason="MemoryError: ", cause=Cause.OUT_OF_MEMORY),
        Outcome(failed, reason="ValueError: x became non-finite (nan)"),
    ]
    leases = store.ask(spec, "ecdsep", count=9, worker=Worker.current())
    assert all(store.tell(list(zip(leases, outcomes, strict=False))))
    store.release(leases[6:7])
    before = [record.cause for record in store.trials(spec.key("ecdsep"))]
    with store._database.write() as connection:
        connection.execute(sa.text("ALTER TABLE ecd_runs DROP COLUMN cause"))
        connection.execute(sa.text("ALTER TABLE ecd_runs DROP COLUMN origin"))
        connection.execute(sa.text("UPDATE ecd_alembic_version SET version_num = '0006'"))
    with Store.open(store._database.url.render_as_string(hide_password=False)) as again:
        assert [record.cause for record in again.trials(spec.key("ecdsep"))] == before
    assert before == [*(o.cause for o in outcomes), Cause.RELEASED, None, None, None]
