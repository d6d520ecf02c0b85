"""Back up while a process writes, restore elsewhere, and compare."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from ecd_tune.store import Store
from ecd_tune.testing.store import make_spec

STORAGE = Path(__file__).parents[2] / "storage"

WRITER = textwrap.dedent(
    """
    import sys
    from ecd_tune.store import Store, Worker
    from ecd_tune.testing.store import complete, make_spec

    spec, worker = make_spec(trials=100_000), Worker.current()
    with Store.open(sys.argv[1]) as store:
        store.create(spec)
        while True:
            assert all(store.tell(complete(store.ask(spec, "ecdsep", count=3, worker=worker))))
            print("told", flush=True)
    """
)


def run(script: str, *arguments: object, storage: str, password: str = ""):
    return subprocess.run(
        [STORAGE / script, *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHON": sys.executable,
             "ECD_TUNE_STORAGE": storage, "PGPASSWORD": password},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@contextmanager
def writer(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that adds trials without a pause; yields when it has told some."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True
    )
    try:
        for _ in range(3):
            assert process.stdout.readline() == "told\n"
        yield process
        assert process.poll() is None, "the writer was disturbed"
    finally:
        process.kill()
        process.communicate()


def read_rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table, sorted."""
    engine = sa.create_engine(url)
    metadata = sa.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        found = {
            name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for name, table in metadata.tables.items()
        }
    engine.dispose()
    return found


def check_restored(url: str, grown: str) -> None:
    """Check that a copy is whole in itself, and a former state of what has grown since."""
    spec = make_spec(trials=100_000)
    with Store.open(url, create=False) as copy, Store.open(grown, create=False) as source:
        records = copy.trials(spec.key("ecdsep"))
        later = source.trials(spec.key("ecdsep"))
    assert 9 <= len(records) < len(later)
    assert [r.number for r in records] == list(range(len(records)))
    # A snapshot: whole batches, each either told or still running.
    assert len(records) % 3 == 0
    running = [r for r in records if r.value is None]
    assert len(running) in (0, 3)
    done = [r for r in records if r.value is not None]
    assert done == later[: len(done)]


# SQLite.


@pytest.fixture
def url(tmp_path):
    (tmp_path / "data base").mkdir()
    return f"sqlite:///{tmp_path}/data base/study.db"


@pytest.fixture
def filled(url):
    with Store.open(url) as store:
        store.create(make_spec())
    return url


def test_sqlite_under_load(url, tmp_path):
    backup, copy = tmp_path / "backup.db", f"sqlite:///{tmp_path}/copy.db"
    with writer(url) as process:
        result = run("backup.sh", backup, storage=url)
        assert result.returncode == 0, result.stderr
        for _ in range(3):
            process.stdout.readline()
    assert run("restore.sh", backup, storage=copy).returncode == 0
    check_restored(copy, url)
    assert read_rows(copy) == read_rows(f"sqlite:///{backup}")


def test_a_backup_is_private_single_and_summed(filled, tmp_path):
    backup = tmp_path / "backup.db"
    assert run("backup.sh", backup, storage=filled).returncode == 0
    assert backup.stat().st_mode & 0o777 == 0o600
    digest = hashlib.sha256(backup.read_bytes()).hexdigest()
    assert (tmp_path / "backup.db.sha256").read_text() == f"{digest}  backup.db\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "backup.db", "backup.db.sha256", "data base",
    ]  # fmt: skip
    check = subprocess.run(["sha256sum", "--check", "backup.db.sha256"], cwd=tmp_path, check=False,
                           capture_output=True)  # fmt: skip
    assert check.returncode == 0


def test_nothing_is_overwritten_without_force(filled, tmp_path):
    backup = tmp_path / "backup.db"
    backup.write_text("precious")
    result = run("backup.sh", backup, storage=filled)
    assert (result.returncode, backup.read_text()) == (1, "precious")
    assert "--force" in result.stderr
    assert run("backup.sh", "--force", backup, storage=filled).returncode == 0
    result = run("restore.sh", backup, storage=filled)
    assert result.returncode == 1
    assert "--force" in result.stderr


def test_forced_restore_keeps_the_previous_database(filled, tmp_path):
    backup = tmp_path / "backup.db"
    assert run("backup.sh", backup, storage=filled).returncode == 0
    before = read_rows(filled)
    with Store.open(filled) as store:
        store.create(make_spec().model_copy(update={"name": "later"}))
    later = read_rows(filled)
    assert later != before
    assert run("restore.sh", "--force", backup, storage=filled).returncode == 0
    assert read_rows(filled) == before
    (kept,) = (tmp_path / "data base").glob("study.db.before-restore.*Z")
    assert read_rows(f"sqlite:///{kept}") == later


def test_a_database_in_use_is_not_replaced(filled, tmp_path):
    backup = tmp_path / "backup.db"
    assert run("backup.sh", backup, storage=filled).returncode == 0
    user = sqlite3.connect(filled.removeprefix("sqlite:///"))
    user.execute("SELECT count(*) FROM studies").fetchone()
    result = run("restore.sh", "--force", backup, storage=filled)
    user.close()
    assert result.returncode == 1
    assert "in use: stop its workers" in result.stderr
    assert not list((tmp_path / "data base").glob("*before-restore*"))


@pytest.mark.parametrize("damage", ["flip", "cut", "no sum"])
def test_a_damaged_backup_is_not_restored(filled, tmp_path, damage):
    backup = tmp_path / "backup.db"
    assert run("backup.sh", backup, storage=filled).returncode == 0
    content = bytearray(backup.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        backup.write_bytes(content)
    elif damage == "cut":
        backup.write_bytes(content[:-4096])
    else:
        (tmp_path / "backup.db.sha256").unlink()
    result = run("restore.sh", backup, storage=f"sqlite:///{tmp_path}/copy.db")
    assert result.returncode == 1
    assert not (tmp_path / "copy.db").exists()
    assert ("damaged" in result.stderr) or ("unfinished" in result.stderr)


def test_a_failed_backup_leaves_nothing(tmp_path):
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\0" + b"x" * 9000)
    backup = tmp_path / "backup.db"
    assert run("backup.sh", backup, storage=f"sqlite:///{tmp_path}/broken.db").returncode == 1
    assert [p.name for p in tmp_path.iterdir()] == ["broken.db"]
    result = run("backup.sh", backup, storage=f"sqlite:///{tmp_path}/missing.db")
    assert result.returncode == 1
    assert [p.name for p in tmp_path.iterdir()] == ["broken.db"]


@pytest.mark.parametrize(
    ("script", "storage", "message"),
    [
        ("backup.sh", "", "ECD_TUNE_STORAGE"),
        ("backup.sh", "mysql://x", "only sqlite"),
        ("backup.sh", "postgresql://u:secret@h/d", "PGPASSWORD"),
        ("backup.sh", "postgresql://h/d?user=u&password=secret", "PGPASSWORD"),
    ],
)
def test_failed_backup_is_one_message(tmp_path, script, storage, message):
    result = run(script, tmp_path / "x", storage=storage)
    assert result.returncode == 1
    assert message in result.stderr
    assert "secret" not in result.stderr


# PostgreSQL.


def split_password(url: str) -> tuple[str, str]:
    """Return a URL without its password, and the password."""
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", "@"), parts.password


def test_postgres_under_load(postgres, postgres_url, tmp_path):
    bare, password = split_password(postgres_url)
    backup = tmp_path / "backup.dump"
    with writer(postgres_url) as process:
        result = run("backup.sh", backup, storage=bare, password=password)
        assert result.returncode == 0, result.stderr
        for _ in range(3):
            process.stdout.readline()
    target = postgres.create_database()
    try:
        bare_target, _ = split_password(target)
        result = run("restore.sh", backup, storage=bare_target, password=password)
        assert result.returncode == 0, result.stderr
        check_restored(target, postgres_url)
        once = read_rows(target)
        result = run("restore.sh", backup, storage=bare_target, password=password)
        assert result.returncode == 1
        assert "--force" in result.stderr
        with Store.open(target) as store:
            store.create(make_spec().model_copy(update={"name": "later"}))
        assert read_rows(target) != once
        result = run("restore.sh", "--force", backup, storage=bare_target, password=password)
        assert result.returncode == 0, result.stderr
        assert read_rows(target) == once
    finally:
        postgres.drop_database(target)
