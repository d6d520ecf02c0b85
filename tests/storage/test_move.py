"""Move a study from SQLite to PostgreSQL and continue there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import optuna
import pytest

from ecd_tune.errors import StoreError
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import complete, make_spec

PATH = Path(__file__).parents[2] / "storage/move_to_postgres.py"


@pytest.fixture(scope="module")
def move():
    spec = importlib.util.spec_from_file_location("move_to_postgres", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.move


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "study.db"
    with Store.open(f"sqlite:///{path}") as store:
        spec = make_spec(trials=20)
        store.create(spec)
        worker = Worker.current()
        store.tell(complete(store.ask(spec, "ecdsep", count=8, worker=worker)))
        store.release(store.ask(spec, "ecdsep", count=2, worker=worker))
    plain = optuna.create_study(study_name="plain", storage=f"sqlite:///{path}")
    plain.add_trial(
        optuna.create_trial(
            value=float("inf"),
            params={"x": 0.5, "c": "a"},
            distributions={
                "x": optuna.distributions.FloatDistribution(0, 1),
                "c": optuna.distributions.CategoricalDistribution(("a", None)),
            },
            intermediate_values={1: float("nan"), 2: 0.25},
            user_attrs={"é": [1, "x"]},
        )
    )
    return path


def read_plain(url):
    storage = optuna.storages.RDBStorage(url)
    trials = storage.get_all_trials(storage.get_study_id_from_name("plain"))
    storage.remove_session()
    storage.engine.dispose()
    return trials


def test_all_trials_are_moved_and_the_study_resumes(move, file, postgres_url):
    spec = make_spec(trials=20)
    Store.open(postgres_url).close()
    moved = move(file, postgres_url)
    assert (moved["studies"], moved["trials"]) == (3, 13)
    with Store.open(f"sqlite:///{file}") as old, Store.open(postgres_url) as new:
        assert new.trials(spec.key("ecdsep")) == old.trials(spec.key("ecdsep"))
        assert new.progress("contract") == old.progress("contract")
        new.check(spec)
        # New rows get new ids, and the budget counts what was moved.
        worker = Worker.current()
        while leases := new.ask(spec, "ecdsep", count=99, worker=worker):
            assert all(new.tell(complete(leases)))
        records = new.trials(spec.key("ecdsep"))
        assert sum(record.counts for record in records) == 20
        assert len({record.number for record in records}) == len(records)
    before, after = read_plain(f"sqlite:///{file}"), read_plain(postgres_url)
    assert len(before) == 1
    assert repr(after) == repr(before)


def test_existing_studies_are_not_overwritten(move, file, postgres_url):
    Store.open(postgres_url).close()
    move(file, postgres_url)
    with pytest.raises(StoreError, match="already has studies"):
        move(file, postgres_url)


def test_the_tables_must_be_there_first(move, file, postgres_url):
    with pytest.raises(StoreError, match="db upgrade"):
        move(file, postgres_url)


def test_running_trials_must_end_first(move, file, postgres_url):
    Store.open(postgres_url).close()
    with Store.open(f"sqlite:///{file}") as store:
        store.ask(make_spec(trials=20), "ecdsep", count=1, worker=Worker.current())
    with pytest.raises(StoreError, match="running trials"):
        move(file, postgres_url)
    with Store.open(postgres_url) as target:
        assert target.studies() == []


def test_the_file_and_the_target_are_checked(move, file, tmp_path):
    with pytest.raises(StoreError, match="no such database"):
        move(tmp_path / "missing.db", "postgresql://h/d")
    with pytest.raises(StoreError, match="must be PostgreSQL"):
        move(file, f"sqlite:///{tmp_path}/other.db")
