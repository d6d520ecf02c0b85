"""Cascades write the same on both databases, though PostgreSQL gets one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from psycopg.pq import TransactionStatus
from sqlalchemy.exc import IntegrityError

from ecd_tune.store import Store
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store._cascade import Cascade
from ecd_tune.store._engine import Database
from ecd_tune.store._parts import deletion, insertion, replacement, update
from ecd_tune.store._pipeline import Pipeline
from ecd_tune.store._statement import run_together
from ecd_tune.testing.store import make_spec

TRIALS, PARAMS = optuna_schema.trials, optuna_schema.trial_params
ATTRS = optuna_schema.trial_user_attributes
START = datetime(2026, 1, 2, 3, 4, 5, 678)
NEW = Cascade(
    head=insertion(
        TRIALS, "study_id", "number", "state", "datetime_start", gives=("number", "trial_id")
    ),
    key="number",
    parts={
        "param": insertion(
            PARAMS,
            *("trial_id", "param_name", "distribution_json"),
            extra={"half": sa.Double()},
            param_value=lambda cells: cells["half"] * 2.0,
            gives=("param_value",),
        ),
        "attr": replacement(ATTRS, "trial_id", "key", "value_json", unique=("trial_id", "key")),
        "state": update(TRIALS, "state"),
    },
    answer="param",
)
END = Cascade(
    head=deletion(
        TRIALS,
        *("number", "study_id"),
        gives=("number", "trial_id"),
        also=TRIALS.c.state == TrialState.RUNNING,
    ),
    key="number",
    parts={},
)
# Difficult to carry as text: quotes, a percent sign, a colon, letters beyond ASCII.
TEXT = 'it\'s "so" 5 % :x ü\n\\n {}'


def heads(*numbers: int, state: TrialState = TrialState.RUNNING) -> list[dict[str, object]]:
    """Return rows of new trials of the first study."""
    row = {"study_id": 1, "state": state, "datetime_start": START}
    return [{**row, "number": number} for number in numbers]


def param(number: int, name: str, half: float) -> dict[str, object]:
    """Return a parameter of a trial."""
    return {"number": number, "param_name": name, "half": half, "distribution_json": TEXT}


def test_rows_find_their_trials(database: Database) -> None:
    """Whatever the order in which they are given; values arrive as they were."""
    value = 0.1 + 0.2
    with database.write() as connection:
        rows = {
            "param": [param(8, "a", value), param(7, "a", 1e-300), param(8, "b", -0.0)],
            "attr": [{"number": 7, "key": "k", "value_json": TEXT}],
        }
        found = NEW.run(connection, heads(7, 8), rows)
        ids = {number: trial_id for number, trial_id, _ in found}
        assert sorted((number, given) for number, _, given in found) == [
            (7, 2e-300),
            (8, -0.0),
            (8, 2 * value),
        ]
        stored = connection.execute(
            sa.select(PARAMS.c.trial_id, PARAMS.c.param_name, PARAMS.c.distribution_json)
        ).all()
        assert sorted(stored) == sorted(
            [(ids[7], "a", TEXT), (ids[8], "a", TEXT), (ids[8], "b", TEXT)]
        )
        attrs = connection.execute(sa.select(ATTRS.c.trial_id, ATTRS.c.value_json)).all()
        assert attrs == [(ids[7], TEXT)]
        times = connection.execute(sa.select(TRIALS.c.datetime_start).distinct()).scalars().all()
        assert times == [START]


def test_what_the_head_does_not_find_is_left_out(database: Database) -> None:
    """Rows of other keys are no error, and a part without rows is not executed."""
    with database.write() as connection:
        rows = {"attr": [{"number": 3, "key": "k", "value_json": "1"}], "param": []}
        ((number, trial_id),) = NEW.run(connection, heads(2), rows)
        assert number == 2
        assert connection.execute(sa.select(sa.func.count()).select_from(ATTRS)).scalar() == 0
        NEW.run(connection, heads(5, state=TrialState.COMPLETE), {})
        given = [{"number": number, "study_id": 1} for number in (2, 4, 5)]
        assert END.run(connection, given, {}) == [(2, trial_id)]
        assert END.run(connection, given, {}) == []


def test_parts_of_known_trials_run_alone(database: Database) -> None:
    """The later of two values under one key replaces the first."""
    with database.write() as connection:
        ((_, trial_id),) = NEW.run(connection, heads(0), {})
        for text in ("1", "2"):
            rows = {
                "attr": [{"number": 0, "key": "k", "value_json": text}],
                "state": [{"number": 0, "state": TrialState.PRUNED}],
            }
            run_together(connection, NEW.follow({0: trial_id}, rows))
        assert connection.execute(sa.select(ATTRS.c.value_json)).scalars().all() == ["2"]
        assert connection.execute(sa.select(TRIALS.c.state)).scalars().all() == [TrialState.PRUNED]


def test_nothing_stays_of_a_cascade_that_fails(database: Database) -> None:
    """Alone or in a transaction, the head is undone with the part that failed."""
    twice = {"param": [param(0, "a", 1.0), param(0, "a", 1.0)]}
    for begin in (database.write, database.write_once):
        with pytest.raises(IntegrityError), begin() as connection:
            NEW.run(connection, heads(0), twice)
        with database.read() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(TRIALS)).scalar() == 0


@pytest.mark.parametrize("many", [False, True])
def test_postgresql_gets_one_statement(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """A whole cascade, and no BEGIN or COMMIT around it where it stands alone."""
    sent: list[str] = []

    def note(pipeline: Pipeline, text: str, values: Sequence[object]) -> object:
        sent.append(text)
        return send(pipeline, text, values)

    send = Pipeline.send
    monkeypatch.setattr(Pipeline, "send", note)
    numbers = range(50 if many else 1)
    with Store.open(postgres_url, patience=1.0) as store:
        store.create(make_spec())
        rows = {
            "param": [param(number, "a", 1.0) for number in numbers],
            "attr": [{"number": 0, "key": "k", "value_json": "1"}],
        }
        sent.clear()
        with store._database.write_once() as connection:
            driver = connection.connection.driver_connection
            assert driver.info.transaction_status is TransactionStatus.IDLE
            NEW.run(connection, heads(*numbers), rows)
            assert driver.info.transaction_status is TransactionStatus.IDLE
            (text,) = sent
            # Many rows are one text, so that the statement stays the same.
            assert ("json_to_recordset" in text) is many
            with store._database.read() as other:
                assert other.execute(sa.select(TRIALS.c.number)).scalars().all() == [*numbers]


def test_ids_grow_in_the_order_of_the_rows(database: Database) -> None:
    """Optuna's samplers see parameters in the order of their ids, and trials too."""
    numbers = list(range(40))
    names = list("zyxabcmnl")
    with database.write() as connection:
        rows = {"param": [param(number, name, 1.0) for number in numbers for name in names]}
        NEW.run(connection, heads(*numbers), rows)
        trials = connection.execute(sa.select(TRIALS.c.number).order_by(TRIALS.c.trial_id))
        assert trials.scalars().all() == numbers
        stored = connection.execute(sa.select(PARAMS.c.param_name).order_by(PARAMS.c.param_id))
        assert stored.scalars().all() == names * len(numbers)
