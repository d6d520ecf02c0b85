"""Rows come back as they were written, on both databases; and what a transaction waits for."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from ecd_tune.store import CurvePoint, Store, Worker
from ecd_tune.store.db import tables
from ecd_tune.store.db.sql import Change, write_rows
from ecd_tune.testing.store import complete
from tests.integration.asking import SPEC, ask

WORKERS = tables.workers
# PostgreSQL has no text with a NUL, and neither database one with half a surrogate pair.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NUMBER = st.floats(allow_nan=False)
INTEGER = st.integers(-(2**63), 2**63 - 1)
ROW = st.fixed_dictionaries(
    {
        "id": TEXT,
        "host": TEXT,
        "boot_id": TEXT,
        "pid": st.integers(-(2**31), 2**31 - 1),
        "process_start": INTEGER,
        "versions": TEXT,
        "started_at": NUMBER,
        "seen_at": NUMBER,
        "device": st.none() | TEXT,
    }
)
ROWS = st.lists(ROW, min_size=1, max_size=5, unique_by=lambda row: row["id"])
PLENTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(store: Store, *changes: Change) -> list[dict]:
    """Write, and return the workers by id, in one transaction."""
    with store._database.write() as connection:
        write_rows(connection, *changes)
        rows = connection.execute(sa.select(WORKERS).order_by(WORKERS.c.id)).mappings()
        return sorted(map(dict, rows), key=lambda row: row["id"])


def by_id(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: row["id"])


@PLENTY
@given(rows=ROWS, data=st.data())
def test_rows_come_back_as_they_were_written(store: Store, rows, data) -> None:
    """Inserted, replaced without the columns that are kept, and updated by a key."""
    with store._database.write() as connection:
        connection.execute(sa.delete(WORKERS))
    assert write(store, Change(WORKERS, rows)) == by_id(rows)
    other = data.draw(st.lists(ROW, min_size=len(rows), max_size=len(rows)))
    new = [{**row, "id": old["id"]} for row, old in zip(other, rows, strict=True)]
    kept = [{**n, "host": old["host"]} for n, old in zip(new, rows, strict=True)]
    assert write(store, Change(WORKERS, new, ("id",), kept=("host",))) == by_id(kept)
    few = [{"id": row["id"], "device": "x", "seen_at": 0.5} for row in rows[::2]]
    changed = {row["id"]: row for row in few}
    updated = [{**row, **changed.get(row["id"], {})} for row in kept]
    assert write(store, Change(WORKERS, few, key="id")) == by_id(updated)


def test_seconds_from_now_are_those_of_the_clock_of_the_database(store: Store) -> None:
    row = {"id": "a", "seen_at": 1000.0}
    assert write(store, Change(WORKERS, [row], key="id", from_now=("seen_at",))) == []
    ask(store)
    (worker,) = store.workers()
    row["id"] = Worker.current().id
    write(store, Change(WORKERS, [row], key="id", from_now=("seen_at",)))
    (later,) = store.workers()
    assert 1000.0 <= (later.seen - worker.seen).total_seconds() < 2000.0
    assert later.started == worker.started


def test_rows_of_several_tables_are_written_or_none(store: Store) -> None:
    """A row that exists already is an error, when the transaction waits for it."""
    row = {
        "id": "a",
        "host": "h",
        "boot_id": "",
        "pid": 1,
        "process_start": 1,
        "versions": "{}",
        "started_at": 0.0,
        "seen_at": 0.0,
        "device": None,
    }
    happened = {"study_id": 1, "trial_id": None, "kind": "lost", "worker": None, "detail": "{}"}
    events = Change(tables.events, [{**happened, "time": 0.0}])
    write(store, Change(WORKERS, [row]))
    with pytest.raises(IntegrityError), store._database.write() as connection:
        write_rows(connection, events, Change(WORKERS, [row]))
    assert store.events(SPEC.name) == []
    assert [worker.name for worker in store.workers()] == ["h:1"]
    assert len(ask(store)) == 1


def test_an_ask_and_a_tell_wait_twice_each(postgres_url: str) -> None:
    """Once for what they read, once for the commit; a batch as long as a single trial."""
    waits: list[str] = []

    def note(connection, cursor, statement, parameters, context, many) -> None:
        if "ecd_tune_unread" not in context.execution_options:
            waits.append(statement.split()[0])

    with Store.open(postgres_url) as store:
        store.create(SPEC)
        store.tell(complete(ask(store)))
        event.listen(store._database.engine, "before_cursor_execute", note)
        for count in (1, 50):
            leases = ask(store, count)
            assert waits == ["SELECT", "COMMIT"]
            waits.clear()
            store.report([CurvePoint(leases[0].trial_id, leases[0].token, 0, 1.0)])
            assert waits == ["SELECT", "COMMIT"]
            waits.clear()
            assert all(store.tell(complete(leases)))
            assert waits == ["DELETE", "COMMIT"]
            waits.clear()


def test_a_commit_that_fails_leaves_the_connection_as_it_was(postgres_url: str) -> None:
    """The first error is raised, also if others follow it; the same connection goes on."""
    pid = sa.select(sa.func.pg_backend_pid())
    twice = {"study_id": 1, "trial_id": None, "kind": "lost", "worker": None, "detail": "{}"}
    rows = [{"id": i, **twice, "time": 0.0} for i in (7, 7)]
    with Store.open(postgres_url) as store:
        store.create(SPEC)
        with store._database.read() as connection:
            before = connection.execute(pid).scalar_one()

        def fail() -> None:
            with store._database.write() as connection:
                write_rows(connection, Change(tables.events, rows))
                write_rows(connection, Change(tables.events, rows[:1]))

        for _ in range(3):
            with pytest.raises(IntegrityError):
                fail()
        with store._database.read() as connection:
            assert connection.execute(pid).scalar_one() == before
        assert store.events(SPEC.name) == []


def test_an_error_of_the_program_is_raised_before_one_of_an_unread_statement(
    postgres_url: str,
) -> None:
    happened = {"study_id": 1, "trial_id": None, "kind": "lost", "worker": None, "detail": "{}"}
    rows = [{"id": i, **happened, "time": 0.0} for i in (7, 7)]
    with Store.open(postgres_url) as store:
        store.create(SPEC)

        def fail() -> None:
            with store._database.write() as connection:
                write_rows(connection, Change(tables.events, rows))
                raise LookupError

        with pytest.raises(LookupError):
            fail()
        assert store.tell(complete(ask(store))) == [True]
