"""The migrations create the tables of tables.py, and Optuna has the columns that we use."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from ecd_tune import store as store_package
from ecd_tune.records import METRIC, Cause, Curve, Outcome, RunCost, Status, StudyKey
from ecd_tune.store import Store, Worker, schema_state
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.testing.store.study import OPTIMIZER, make_spec

USED = {
    "studies": {"study_id", "study_name"},
    "study_directions": {"study_id", "direction", "objective"},
    "study_system_attributes": {"study_id", "key", "value_json"},
    "study_user_attributes": {"study_id", "key", "value_json"},
    "trials": {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"},
    "trial_params": {"param_id", "trial_id", "param_name", "param_value", "distribution_json"},
    "trial_values": {"trial_value_id", "trial_id", "objective", "value", "value_type"},
    "trial_user_attributes": {"trial_id", "key", "value_json"},
    "trial_system_attributes": {"trial_system_attribute_id", "trial_id", "key", "value_json"},
    "trial_intermediate_values": {
        "trial_intermediate_value_id",
        "trial_id",
        "step",
        "intermediate_value",
        "intermediate_value_type",
    },
}


@pytest.fixture
def inspector(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    Store.open(url).close()
    engine = sa.create_engine(url)
    yield sa.inspect(engine)
    engine.dispose()


def test_head_is_the_newest_migration():
    config = Config()
    folder = Path(store_package.__file__).parent / "db" / "migrations"
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [tables.HEAD]


def test_the_one_curve_of_older_tables_becomes_the_metrics(tmp_path):
    url, spec = f"sqlite:///{tmp_path}/store.db", make_spec()
    with Store.open(url) as store:
        store.create(spec)
        leases = store.ask(spec, OPTIMIZER, count=2, worker=Worker.current())
        points = Curve((0, 3), (1.5, math.inf))
        store.tell([(leases[0], Outcome(Status.COMPLETE, 1.5, curves={METRIC: points}))])
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for line in (
            "ALTER TABLE ecd_runs DROP COLUMN origin",
            "ALTER TABLE ecd_runs DROP COLUMN cause",
            "ALTER TABLE ecd_runs RENAME COLUMN curves TO curve",
            """UPDATE ecd_runs SET curve = '[[0,3],[1.5,"inf"]]' WHERE curve IS NOT NULL""",
            f"UPDATE {tables.VERSION_TABLE} SET version_num = '0004'",
        ):
            connection.exec_driver_sql(line)
    engine.dispose()
    with Store.open(url) as store:
        told, running = store.trials(spec.key(OPTIMIZER))
    assert (dict(told.curves), dict(running.curves)) == ({METRIC: points}, {})


def test_a_database_of_the_version_before_is_upgraded_and_read(tmp_path):
    """It was made by that version's own code; causes follow from the sentences that it wrote."""
    path, key = tmp_path / "store.db", StudyKey("old", OPTIMIZER)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "data/version_0006.sql").read_text())
    url = f"sqlite:///{path}"
    assert schema_state(url).stored == "0006"
    with Store.open(url) as store:
        records = store.trials(key)
        assert [record.cause for record in records] == [
            Cause.COMPLETE,
            Cause.DIVERGED,
            Cause.PRUNED,
            Cause.NON_FINITE,
            Cause.OUT_OF_MEMORY,
            Cause.EXCEPTION,  # whose text says non-finite
            Cause.RELEASED,
            Cause.LOST,
            None,  # it runs
            Cause.LOST,
            Cause.LOST,  # and given up
            Cause.KILLED,
            None,
            None,
        ]
        assert [record.pruned for record in records].index(True) == 2
        first = records[0]
        assert (first.value, first.metrics) == (1.5, {"final": 1.5})
        assert first.curves["train_loss"] == Curve((3,), (0.25,))
        assert first.cost == RunCost(2.0, "cpu", 0.001, "RAPL", 0.0002)
        (search, confirm) = store.progress("old")
        assert (search.finished, search.waiting, confirm.waiting) == (7, 2, 1)
        worker = Worker.current()
        (lease,) = store.claim(key, count=1, worker=worker)
        assert store.tell([(lease, Outcome(Status.COMPLETE, 0.5))]) == [True]
        assert store.trials(key)[lease.number].cause is Cause.COMPLETE
    assert schema_state(url).current


def test_migrated_tables_are_those_of_the_code(inspector):
    stored_names = {name for name in inspector.get_table_names() if name.startswith("ecd_")}
    assert stored_names == {*tables.METADATA.tables, tables.VERSION_TABLE}
    for name, table in tables.METADATA.tables.items():
        stored = {c["name"]: (str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)}
        dialect = inspector.engine.dialect
        assert stored == {c.name: (c.type.compile(dialect), c.nullable) for c in table.columns}
        indexes = {index["name"] for index in inspector.get_indexes(name) if not index["unique"]}
        assert indexes == {index.name for index in table.indexes}


def test_optuna_has_the_columns_that_we_use(inspector):
    for name, columns in USED.items():
        assert columns <= {column["name"] for column in inspector.get_columns(name)}
        assert columns <= set(optuna_tables.OPTUNA_METADATA.tables[name].c.keys())
