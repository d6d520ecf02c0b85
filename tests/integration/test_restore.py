"""A backup that is restored under workers: later leases are new ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from ecd_tune.records import Lease, Outcome, Status
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import make_spec

SPEC = make_spec(trials=5)


def restorable_file(folder: Path) -> tuple[str, Callable[[], None], Callable[[], None]]:
    file, backup = folder / "trials.db", folder / "backup.db"
    return (
        f"sqlite:///{file}",
        lambda: shutil.copy(file, backup),
        lambda: shutil.copy(backup, file),
    )


def restorable_database(url: str) -> tuple[str, Callable[[], None], Callable[[], None]]:
    own = sa.make_url(url)
    admin = sa.create_engine(own.set(database="postgres"), isolation_level="AUTOCOMMIT")
    name, backup = own.database, f"{own.database}_backup"

    def run(*statements: str) -> None:
        with admin.connect() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
        admin.dispose()

    return (
        url,
        lambda: run(f'CREATE DATABASE "{backup}" TEMPLATE "{name}"'),
        lambda: run(f'DROP DATABASE "{name}"', f'ALTER DATABASE "{backup}" RENAME TO "{name}"'),
    )


def ask(store: Store) -> Lease:
    (lease,) = store.ask(SPEC, "ecdsep", count=1, worker=Worker.current())
    return lease


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_result_from_before_a_restore_is_refused(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url, back_up, restore = (
        restorable_file(tmp_path)
        if kind == "sqlite"
        else restorable_database(request.getfixturevalue("postgres_url"))
    )
    with Store.open(url) as store:
        store.create(SPEC)
    back_up()
    with Store.open(url) as store:
        before = ask(store)
    restore()
    with Store.open(url) as store:
        after = ask(store)
        assert (after.trial_id, after.number) == (before.trial_id, before.number)
        assert store.renew([before]) == [False]
        assert store.release([before]) == 0
        assert store.tell([(before, Outcome(Status.COMPLETE, 1.0))]) == [False]
        assert store.tell([(after, Outcome(Status.COMPLETE, 2.0))]) == [True]
        assert [r.value for r in store.trials(SPEC.key("ecdsep"))] == [2.0]
