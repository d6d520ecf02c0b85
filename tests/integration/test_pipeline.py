"""Statements that travel together on PostgreSQL: order, errors, floods, interruptions."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import TransactionStatus

from ecd_tune.store._pipeline import Pipeline, Prepared


@pytest.fixture
def address(postgres_url: str) -> str:
    """The URL of an empty database, as the driver itself takes it."""
    return postgres_url.replace("postgresql+psycopg:", "postgresql:")


@pytest.fixture
def driver(address: str) -> Iterator[psycopg.Connection]:
    """A connection in autocommit, as the engine opens it, to a database with one small table."""
    with psycopg.connect(address, autocommit=True) as driver:
        driver.execute("CREATE TABLE numbers (n integer PRIMARY KEY)")
        yield driver


def count(driver: psycopg.Connection) -> int:
    """Count the rows, by psycopg itself: the connection is usable as before."""
    ((rows,),) = driver.execute("SELECT count(*) FROM numbers").fetchall()
    return int(rows)


def test_answers_belong_to_their_statements(driver: psycopg.Connection) -> None:
    """Asked for in any order, in the block or after it."""
    with Pipeline.open(driver, {}) as pipeline:
        answers = [pipeline.send("SELECT $1::integer, $2::text", [n, str(n)]) for n in range(5)]
        assert answers[3]() == [(3, "3")]
        assert answers[1]() == [(1, "1")]
    assert [answer() for answer in answers] == [[(n, str(n))] for n in range(5)]


def test_what_is_sent_waits_for_nothing(driver: psycopg.Connection) -> None:
    """Only an answer that is asked for does."""
    with Pipeline.open(driver, {}) as pipeline:
        began = time.monotonic()
        slow = pipeline.send("SELECT pg_sleep(0.4)", [])
        assert time.monotonic() - began < 0.2
        slow()
        assert time.monotonic() - began >= 0.4


def test_a_statement_is_prepared_once(driver: psycopg.Connection) -> None:
    """In its first block, and again where that block failed before the server learned it."""
    known: Prepared = {}
    insert, select = "INSERT INTO numbers VALUES ($1)", "SELECT n FROM numbers ORDER BY n"
    with Pipeline.open(driver, known) as pipeline:
        for n in range(3):
            pipeline.send(insert, [n])
    assert list(known) == [insert]

    def fail() -> None:
        with Pipeline.open(driver, known) as pipeline:
            pipeline.send(insert, [0])
            pipeline.send(select, [])

    with pytest.raises(errors.UniqueViolation):
        fail()
    assert list(known) == [insert]
    for _ in range(2):
        with Pipeline.open(driver, known) as pipeline:
            rows = pipeline.send(select, [])
        assert rows() == [(0,), (1,), (2,)]
    prepared = driver.execute("SELECT statement FROM pg_prepared_statements").fetchall()
    assert {text for (text,) in prepared} == {insert, select}


def test_the_first_error_is_raised_and_what_follows_is_not_executed(
    driver: psycopg.Connection,
) -> None:
    """Nor does anything stay, since without BEGIN a block is a transaction of its own."""

    def fail() -> None:
        with Pipeline.open(driver, {}) as pipeline:
            pipeline.send("INSERT INTO numbers VALUES (1)", [])
            pipeline.send("SELECT 1 / $1::integer", [0])
            pipeline.send("INSERT INTO nowhere VALUES (2)", [])

    with pytest.raises(errors.DivisionByZero):
        fail()
    assert driver.info.transaction_status is TransactionStatus.IDLE
    assert count(driver) == 0


def test_an_error_of_the_block_itself_leaves_a_usable_connection(
    driver: psycopg.Connection,
) -> None:
    """What was sent before it is answered, and the transaction is still open to be undone."""

    def fail() -> None:
        with Pipeline.open(driver, {}) as pipeline:
            pipeline.send("BEGIN", [])
            pipeline.send("INSERT INTO numbers VALUES (1)", [])
            raise LookupError("not found")

    with pytest.raises(LookupError):
        fail()
    assert driver.info.transaction_status is TransactionStatus.INTRANS
    driver.rollback()
    assert count(driver) == 0


def test_more_than_the_buffers_hold_goes_both_ways(driver: psycopg.Connection) -> None:
    """The server stops reading when nobody reads its answers: both sides would wait for ever."""
    text = "x" * 50_000
    with Pipeline.open(driver, {}) as pipeline:
        answers = [pipeline.send("SELECT $1::text || $2::text", [text, n]) for n in range(400)]
        assert answers[-1]() == [(f"{text}399",)]
    assert answers[0]() == [(f"{text}0",)]


def test_a_process_may_have_thousands_of_open_files(address: str) -> None:
    """As one that feeds a GPU has; ``select`` stops at 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            for _ in range(1100):
                stack.enter_context(Path(os.devnull).open())
            with psycopg.connect(address, autocommit=True) as driver:
                assert driver.fileno() > 1024
                with Pipeline.open(driver, {}) as pipeline:
                    answer = pipeline.send("SELECT 1", [])
                assert answer() == [(1,)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_interruption_does_not_wait_for_a_lock(driver: psycopg.Connection, address: str) -> None:
    """Ctrl-C ends the statement in the server too."""
    pipeline_of = Pipeline.open(driver, {})

    def wait_for_lock() -> None:
        with pipeline_of as pipeline:
            pipeline.send("SELECT n FROM numbers", [])()

    with psycopg.connect(address) as holder:
        holder.execute("LOCK TABLE numbers")
        main = threading.main_thread().ident
        assert main is not None
        ended = threading.Event()

        def interrupt() -> None:
            # Again, as a user would: a signal between two system calls is not seen by the second.
            while not ended.wait(1.0):
                signal.pthread_kill(main, signal.SIGINT)

        began = time.monotonic()
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            wait_for_lock()
        ended.set()
        assert time.monotonic() - began < 5.0
    assert driver.info.transaction_status is TransactionStatus.IDLE
    assert count(driver) == 0


def test_a_server_that_goes_away_is_an_error_at_once(
    driver: psycopg.Connection, address: str
) -> None:
    """And the connection knows that it is lost."""

    def lose() -> None:
        with Pipeline.open(driver, {}) as pipeline:
            pipeline.send("SELECT 1", [])()
            with psycopg.connect(address) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [driver.info.backend_pid])
            pipeline.send("SELECT 2", [])
            pipeline.send("SELECT 3", [])()

    with pytest.raises(psycopg.OperationalError):
        lose()
    assert driver.broken
