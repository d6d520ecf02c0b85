"""What people do to a database while worker processes use it."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from ecd_tune.records import Lease, RunRequest, TrialRecord
from ecd_tune.spec import StudySpec, load_study
from ecd_tune.store import Store
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.url import parse_url
from ecd_tune.testing.faults import WorkerGroup, assert_consistent
from ecd_tune.testing.outage import log_paths, working, write_study
from ecd_tune.testing.store import complete, make_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STORAGE = Path(__file__).parents[3] / "storage"
PATIENCE = 300.0
"""Seconds after which something hangs."""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_trials(store: Store, spec: StudySpec, count: int) -> None:
    wait_until(lambda: store.progress(spec.name)[0].complete >= count)


def assert_own_values(records: Sequence[TrialRecord]) -> None:
    """Each result is that of its own hyperparameters, and of no other trial's."""
    for r in records:
        if r.counts:
            lease = Lease(r.key, 0, r.number, 0, 1, RunRequest(r.params, 0))
            ((_, outcome),) = complete([lease])
            assert r.value == outcome.value


# A backup is restored.


def run_script(script: str, *arguments: object, url: str) -> None:
    password = str(sa.make_url(url).password)
    bare = url.replace(f":{password}@", "@")
    environment = {**os.environ, "PGPASSWORD": password, "ECD_TUNE_STORAGE": bare}
    command = [STORAGE / script, *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr


def copy_sqlite(source: Path, target: Path) -> None:
    """As ``.backup`` and ``.restore`` of the sqlite3 shell do: in use, in one transaction."""
    with sqlite3.connect(source, timeout=60) as one, sqlite3.connect(target, timeout=60) as other:
        one.backup(other)
    one.close()
    other.close()


def test_a_backup_is_restored_under_workers(url: str, tmp_path: Path) -> None:
    """Results since then are gone and made again; none goes to a trial that is not its own."""
    spec, backup = make_spec(trials=400, retries={"lost": 1000}), tmp_path / "backup"
    file = Path(url.removeprefix("sqlite:///"))
    with Store.open(url) as store:
        store.create(spec)
        with WorkerGroup(url, spec, 4, seconds=0.05, count=2, lease_seconds=3.0).working() as crew:
            wait_for_trials(store, spec, 60)
            if url.startswith("sqlite"):
                copy_sqlite(file, backup)
            else:
                run_script("backup.sh", backup, url=url)
            wait_for_trials(store, spec, 200)
            if url.startswith("sqlite"):
                copy_sqlite(backup, file)
            else:
                run_script("restore.sh", "--force", backup, url=url)
            assert store.progress(spec.name)[0].complete < 200
            assert crew.wait(PATIENCE) == [0] * 4
        records = assert_consistent(store, spec)
        assert_own_values(records)
        # Trials that ran at the backup were told later, to rows that no longer exist.
        assert any(record.lost for record in records)
        assert {event.kind for event in store.events(spec.name)} >= {"lost", "fenced"}


# Someone holds what workers need.


def hold_rows(url: str, table: sa.Table, seconds: float) -> None:
    engine = sa.create_engine(parse_url(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.select(table).with_for_update())
        time.sleep(seconds)
    engine.dispose()


def test_rows_locked_beyond_the_timeout_are_retried(
    postgres_url: str,
) -> None:
    spec = make_spec(trials=240, retries={"lost": 0})
    options = {"options": "-c lock_timeout=200"}
    url = sa.make_url(postgres_url).update_query_dict(options).render_as_string(False)
    with Store.open(postgres_url) as store:
        store.create(spec)
        with WorkerGroup(url, spec, 4, seconds=0.05, count=2).working() as crew:
            held = (tables.leases, optuna_tables.trials, tables.studies, optuna_tables.studies)
            for turn, table in enumerate(held):
                wait_for_trials(store, spec, 40 * (turn + 1))
                hold_rows(postgres_url, table, 4.0)
            assert crew.wait(PATIENCE) == [0] * 4
        records = assert_consistent(store, spec)
        assert not any(record.lost for record in records), "no work was thrown away"


@pytest.mark.parametrize("seconds", [40.0, 70.0], ids="{:.0f} s".format)
def test_file_locked_beyond_a_lease_is_retried(seconds: float, tmp_path: Path) -> None:
    """Shorter and longer than SQLite itself waits; no one could renew a lease meanwhile."""
    spec, url = make_spec(trials=240, retries={"lost": 0}), f"sqlite:///{tmp_path}/store.db"
    with Store.open(url) as store:
        store.create(spec)
        with WorkerGroup(url, spec, 4, seconds=0.05, count=2).working() as crew:
            wait_for_trials(store, spec, 60)
            holder = sqlite3.connect(tmp_path / "store.db", timeout=60, isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            holder.execute("COMMIT")
            holder.close()
            assert crew.wait(PATIENCE) == [0] * 4
        records = assert_consistent(store, spec)
        assert not any(record.lost for record in records), "no work was thrown away"


# The file is gone.


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replace(path: Path) -> None:
    """Put an earlier copy in its place, and what belongs to the old one aside with it."""
    for rest in ("", "-wal", "-shm"):
        Path(f"{path}{rest}").rename(f"{path}.before{rest}")
    path.with_name("backup.db").replace(path)


def read_rows(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


@pytest.mark.parametrize("change", [remove, move, replace])
def test_workers_stop_with_an_error_if_the_file_is_deleted(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    """Within a heartbeat; the file that is there instead gets nothing of theirs."""
    study, path = write_study(tmp_path, trials=1000, epochs=300), tmp_path / "a.db"
    spec, url = load_study(study), f"sqlite:///{tmp_path / 'a.db'}"
    with Store.open(url) as store:
        store.create(spec)
        copy_sqlite(path, tmp_path / "backup.db")
        before = read_rows(tmp_path / "backup.db")
        with working(study, url, tmp_path, 2) as processes:
            # Both have opened it: one that starts later finds an empty place, or the other file.
            logs = log_paths(tmp_path, 2)
            wait_until(lambda: all("best so far" in log.read_text() for log in logs))
            change(path)
            assert [process.wait(PATIENCE) for process in processes] == [2, 2]
    words = "replaced|removed or moved" if change is replace else "removed or moved"
    for log in logs:
        said = log.read_text()
        assert re.search(f"the file was ({words}) while it was in use", said)
        assert "Traceback" not in said
        assert "complete;" not in said
    if change is replace:
        assert read_rows(path) == before
    else:
        assert not path.exists()
