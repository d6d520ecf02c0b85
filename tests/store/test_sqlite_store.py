"""The store's contract on SQLite, and details of SQLite."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from contextlib import contextmanager
from types import SimpleNamespace
from typing import ClassVar

import optuna
import pytest

from ecd_tune.errors import FingerprintMismatchError, StorageUnavailableError, StoreError
from ecd_tune.store import Store, Worker
from ecd_tune.store.db.engine import _connect_alone
from ecd_tune.testing.store import StoreContract, complete, make_spec


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/store.db"


def test_the_file_uses_a_write_ahead_log(url, tmp_path):
    Store.open(url).close()
    connection = sqlite3.connect(tmp_path / "store.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_rows_are_deleted_with_a_study_deleted_by_plain_optuna(url, tmp_path):
    spec, worker = make_spec(), Worker.current()
    with Store.open(url) as store:
        store.create(spec)
        store.tell(complete(store.ask(spec, "ecdsep", count=3, worker=worker)))
        store.ask(spec, "ecdsep", count=1, worker=worker)
        optuna.delete_study(study_name="contract/ecdsep", storage=url)
        connection = sqlite3.connect(tmp_path / "store.db")
        for table in ("ecd_runs", "ecd_leases"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        connection.close()
        # The same store continues with a new study under the same name.
        store.create(spec)
        leases = store.ask(spec, "ecdsep", count=9, worker=worker)
        assert [lease.number for lease in leases] == list(range(6))


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_reused_study_id_has_no_old_rows(url, tmp_path, sampler):
    """Also where the first thing to do is a trial that plain Optuna queued: nothing is known."""
    spec, worker = make_spec(sampler), Worker.current()

    def begin(store, url):
        store.create(spec)
        optuna.load_study(study_name="contract/ecdsep", storage=url).enqueue_trial({"lr": 0.25})
        leases = [store.ask(spec, "ecdsep", count=count, worker=worker) for count in (1, 9)]
        return [(lease.number, dict(lease.request.params)) for given in leases for lease in given]

    with Store.open(url) as store:
        store.create(spec)
        for _ in range(4):
            store.tell(complete(store.ask(spec, "ecdsep", count=1, worker=worker)))
        for name in ("contract/ecdsep/confirm", "contract/ecdsep"):
            optuna.delete_study(study_name=name, storage=url)
        again = begin(store, url)
    other = f"sqlite:///{tmp_path}/other.db"
    with Store.open(other) as store:
        assert again == begin(store, other)
    assert [number for number, _ in again] == list(range(6))


def test_recreated_study_gets_no_trial_of_the_deleted_one(url):
    """Of the same name, id and length, but made from another study file."""
    spec, other, worker = (
        make_spec(),
        make_spec(budget={"trials": 6, "steps": 11}),
        Worker.current(),
    )
    with Store.open(url) as store, Store.open(url) as newer:
        store.create(spec)
        assert len(store.ask(spec, "ecdsep", count=1, worker=worker)) == 1
        for name in ("contract/ecdsep/confirm", "contract/ecdsep"):
            optuna.delete_study(study_name=name, storage=url)
        newer.create(other)
        assert len(newer.ask(other, "ecdsep", count=1, worker=worker)) == 1
        with pytest.raises(FingerprintMismatchError, match=r"budget.steps: 11 -> 10"):
            store.ask(spec, "ecdsep", count=1, worker=worker)
        assert len(newer.trials(other.key("ecdsep"))) == 1


def test_other_optuna_studies_are_unchanged(url):
    optuna.create_study(study_name="other", storage=url).add_trial(optuna.create_trial(value=1.0))
    spec = make_spec()
    with Store.open(url) as store:
        store.create(spec)
        assert store.studies() == ["contract"]
        assert len(store.ask(spec, "ecdsep", count=9, worker=Worker.current())) == 6
    assert len(optuna.load_study(study_name="other", storage=url).trials) == 1


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageUnavailableError, match="nowhere does not exist"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/store.db")


def test_reading_does_not_create_a_file(url, tmp_path):
    with pytest.raises(StorageUnavailableError, match="does not exist"):
        Store.open(url, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_a_database(tmp_path):
    with pytest.raises(StorageUnavailableError, match="is a folder"):
        Store.open(f"sqlite:///{tmp_path}")


def test_other_files_are_unchanged(url, tmp_path):
    file = tmp_path / "store.db"
    file.write_text("a study file, perhaps\n" * 100)
    with pytest.raises(StorageUnavailableError, match="not a database"):
        Store.open(url)
    assert file.read_text() == "a study file, perhaps\n" * 100


def test_reading_does_not_change_a_foreign_database(url):
    optuna.create_study(study_name="other", storage=url)
    with pytest.raises(StoreError, match="version none"):
        Store.open(url, create=False)


def test_a_newer_schema_is_refused(url, tmp_path):
    Store.open(url).close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("UPDATE ecd_alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="9999"):
        Store.open(url)


@contextmanager
def full_disk(room):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))  # larger files are refused
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 20_000])
def test_full_disk_at_creation_is_one_message(room, tmp_path):
    with (
        full_disk(room),
        pytest.raises(StorageUnavailableError, match="full") as caught,
    ):
        Store.open(f"sqlite:///{tmp_path}/new.db")
    assert len(str(caught.value).splitlines()) == 1


def test_a_database_on_a_full_disk_is_read_whole_and_locked_only_meanwhile(url, tmp_path):
    spec, killed = make_spec(), tmp_path / "killed.db"
    with Store.open(url) as store:
        store.create(spec)
        store.tell(complete(store.ask(spec, "ecdsep", count=3, worker=Worker.current())))
        # As a killed worker leaves it: the newest results are in the log alone.
        for suffix in ("", "-wal"):
            shutil.copy(f"{tmp_path}/store.db{suffix}", f"{killed}{suffix}")
    url = f"sqlite:///{killed}"
    with full_disk(0), Store.open(url, create=False) as store:
        assert store.progress(spec.name)[0].complete == 3
        with Store.open(url, create=False) as other:
            assert [trial.number for trial in other.trials(spec.key("ecdsep"))] == [0, 1, 2]
        with pytest.raises(StorageUnavailableError, match="the disk may be full"):
            store.invalidate(spec.key("ecdsep"), 1, "wrong data")
        assert store.progress(spec.name)[0].complete == 3
    with Store.open(url, create=False) as store:
        assert store.progress(spec.name)[0].complete == 3


class LockedFile:
    """A connection whose first look fails twice, as where two wait for each other's lock."""

    opened: ClassVar[list[LockedFile]] = []

    def __init__(self, *arguments: object, timeout: float) -> None:
        assert timeout == 0.0
        # A connection in exclusive mode keeps its shared lock until it is closed.
        assert all(other.closed for other in self.opened)
        self.closed = False
        self.opened.append(self)

    def execute(self, text: str) -> None:
        if text.startswith("SELECT") and len(self.opened) < 3:
            raise sqlite3.OperationalError("database is locked")

    def close(self) -> None:
        self.closed = True


def test_a_connection_that_does_not_get_the_file_alone_is_closed_before_the_next() -> None:
    dialect = SimpleNamespace(connect=LockedFile)
    found = _connect_alone(dialect, ("file",), {"timeout": 60})
    assert found is LockedFile.opened[2]
    assert not found.closed
