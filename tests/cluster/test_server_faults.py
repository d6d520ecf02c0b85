"""A PostgreSQL with a full disk, too few connections, or aborted transactions."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from ecd_tune.errors import StorageUnavailableError, StoreError
from ecd_tune.store import Store, Worker
from ecd_tune.store.db import tables
from ecd_tune.testing.faults import OPTIMIZER, WorkerGroup, assert_consistent
from ecd_tune.testing.launcher import wait_until
from ecd_tune.testing.postgres import QUICK, PostgresServer
from ecd_tune.testing.store import make_spec

pytestmark = pytest.mark.slow

DISK_MIB = 110
BALLAST = "ballast"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, which is nearly filled by the server's first files."""
    # Not in pytest's folder: another run of pytest closes that to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="ecd_tune_disk_"))
    folder.chmod(0o755)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=777", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("needs root that may mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def test_workers_wait_while_the_disk_is_full(small_disk: Path) -> None:
    settings = {**QUICK, "max_wal_size": "32MB", "min_wal_size": "32MB", "wal_recycle": "off"}
    with PostgresServer(settings, place=small_disk) as server:
        url = server.create_database()
        # Large enough for the disk to fill where the test fills it, and not by itself.
        spec = make_spec(trials=200)
        with Store.open(url) as store:
            store.create(spec)
            crew = WorkerGroup(url, spec, 3, seconds=0.05)
            with crew.working():
                wait_until(lambda: store.progress(spec.name)[0].finished >= 20, "the first trials")
                ballast = small_disk / BALLAST
                fill(ballast)
                stuck = refused(url)
                ballast.unlink()
                assert stuck, "the disk was never full"
                assert crew.wait(300.0) == [0] * 3
            assert_consistent(store, spec)


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as file:
        block = b"x" * 4096
        try:
            while True:
                file.write(block)
        except OSError:
            pass


def refused(url: str) -> bool:
    """Say whether the server refuses to make a table larger, or is not there any more."""
    try:
        with psycopg.connect(plain(url), autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 9000)"
            )
    except psycopg.Error:
        return True
    return False


def take_all(held: ExitStack, url: str) -> None:
    """Connect until the server refuses."""
    while True:
        try:
            held.enter_context(psycopg.connect(url))
        except psycopg.OperationalError:
            return


def test_too_many_clients_are_retried_or_reported() -> None:
    settings = {**QUICK, "max_connections": "8", "superuser_reserved_connections": "0"}
    with PostgresServer(settings) as server, ExitStack() as stack:
        url, spec = server.create_database(), make_spec(trials=4)
        store = stack.enter_context(Store.open(url))
        store.create(spec)
        store._database.engine.dispose()  # its next call connects anew
        with ExitStack() as held:
            take_all(held, plain(url))
            with pytest.raises(StorageUnavailableError, match="raise max_connections"):
                Store.open(url)
            with ThreadPoolExecutor(1) as threads:
                asked = threads.submit(store.ask, spec, OPTIMIZER, count=4, worker=Worker.current())
                wait_until(lambda: store._retry_policy._away_since is not None, "the refusal")
                assert not asked.done()
                held.close()
                assert len(asked.result(60.0)) == 4


def test_deadlocks_and_serialization_failures_are_retried(postgres_url: str) -> None:
    """A trigger breaks every seventh change of a run off, as the server itself would."""
    spec = make_spec("tpe", trials=60)
    with Store.open(postgres_url) as store:
        store.create(spec)
    with psycopg.connect(plain(postgres_url), autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE changes")
        connection.execute(
            """
            CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE n bigint := nextval('changes');
            BEGIN
                IF n % 14 = 0 THEN
                    RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01';
                ELSIF n % 14 = 7 THEN
                    RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
                END IF;
                RETURN NEW;
            END $$"""
        )
        connection.execute(
            "CREATE TRIGGER break_off BEFORE INSERT OR UPDATE ON ecd_runs "
            "FOR EACH ROW EXECUTE FUNCTION break_off()"
        )
    crew = WorkerGroup(postgres_url, spec, 4, seconds=0.01)
    with crew.working():
        assert crew.wait(300.0) == [0] * 4
    with Store.open(postgres_url) as store:
        assert_consistent(store, spec)
    with psycopg.connect(plain(postgres_url)) as connection:
        (changes,) = connection.execute("SELECT last_value FROM changes").fetchone()
        assert changes > 2 * 60, "nothing was broken off"


def test_older_schema_is_upgraded_or_reported(postgres_url: str) -> None:
    """A newer worker migrates what it may, and the older ones continue or say what is wrong."""
    spec = make_spec(trials=40)
    with Store.open(postgres_url) as old:
        old.create(spec)
        engine = sa.create_engine(postgres_url)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE ecd_runs DROP COLUMN origin")
            connection.exec_driver_sql(f"UPDATE {tables.VERSION_TABLE} SET version_num = '0008'")
        with pytest.raises(StoreError, match="ecd-tune db upgrade"):
            Store.open(postgres_url, create=False)
        # A store that was open before, as that of an older worker, works on meanwhile.
        crew = WorkerGroup(postgres_url, spec, 3, seconds=0.02)
        with crew.working():
            wait_until(lambda: old.progress(spec.name)[0].finished > 0, "the newer workers")
            assert crew.wait(300.0) == [0] * 3
        assert_consistent(old, spec)
        with engine.connect() as connection:
            (version,) = connection.exec_driver_sql(
                f"SELECT version_num FROM {tables.VERSION_TABLE}"
            ).one()
        assert version == tables.HEAD
        engine.dispose()
