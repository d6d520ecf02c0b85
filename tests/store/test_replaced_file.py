"""An SQLite file that is removed, moved or replaced while a store is open."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from ecd_tune.errors import (
    StorageReplacedError,
    StorageUnavailableError,
    StudyNotFoundError,
)
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import complete, make_spec

SPEC = make_spec(trials=9)


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replace(path: Path) -> None:
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.replace(path)


@pytest.mark.parametrize("change", [remove, move, replace])
@pytest.mark.parametrize("act", ["ask", "tell", "renew", "release", "trials"])
def test_every_call_reports_a_replaced_file(
    change: Callable[[Path], None], act: str, tmp_path: Path
) -> None:
    path = tmp_path / "trials.db"
    worker = Worker.current()
    with Store.open(f"sqlite:///{path}") as store:
        store.create(SPEC)
        leases = store.ask(SPEC, "ecdsep", count=1, worker=worker)
        change(path)
        calls: dict[str, Callable[[], object]] = {
            "ask": lambda: store.ask(SPEC, "ecdsep", count=1, worker=worker),
            "tell": lambda: store.tell(complete(leases)),
            "renew": lambda: store.renew(leases),
            "release": lambda: store.release(leases),
            "trials": lambda: store.trials(SPEC.key("ecdsep")),
        }
        word = "replaced" if change is replace else "removed or moved"
        with pytest.raises(StorageReplacedError, match=f"{word} while it was in use"):
            calls[act]()


def test_touched_or_grown_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "trials.db"
    with Store.open(f"sqlite:///{path}") as store:
        store.create(SPEC)
        path.touch()
        path.chmod(0o600)
        leases = store.ask(SPEC, "ecdsep", count=5, worker=Worker.current())
        assert all(store.tell(complete(leases)))


def test_unreadable_file_is_reported_with_a_remedy(tmp_path: Path) -> None:
    """As on a read-only medium, where SQLite cannot make the files beside it."""
    path = tmp_path / "trials.db"
    Store.open(f"sqlite:///{path}").close()
    path.with_name("trials.db-wal").mkdir()
    with pytest.raises(StorageUnavailableError, match="copy it elsewhere and use the copy"):
        Store.open(f"sqlite:///{path}", create=False)


def test_missing_search_is_not_listed(tmp_path: Path) -> None:
    """Where one Optuna study was deleted, the other stages of that optimizer are named as such."""
    with Store.open(f"sqlite:///{tmp_path / 'trials.db'}") as store:
        store.create(SPEC)
        key = SPEC.key("ecdsep")
        optuna.delete_study(study_name=key.name, storage=f"sqlite:///{tmp_path / 'trials.db'}")
        with pytest.raises(StudyNotFoundError) as caught:
            store.trials(key)
    assert f"no study {key.name!r}" in str(caught.value)
    assert f"Known: {key.name}/confirm" in str(caught.value)
