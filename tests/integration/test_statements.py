"""Statements that are compiled once, on both databases."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError, IntegrityError

from ecd_tune.store import Store, schema
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store._clock import now
from ecd_tune.store._engine import Database
from ecd_tune.store._outage import OutageError
from ecd_tune.store._statement import Statement, run_together
from ecd_tune.store._studies import find_study
from ecd_tune.testing.store import make_spec

TRIALS = optuna_schema.trials


def insert_into(table: sa.Table, *names: str, **fixed: object) -> sa.Insert:
    """Build an insert of one row, whose values have the names of their columns."""
    values = {name: sa.bindparam(name, type_=table.c[name].type) for name in names}
    return sa.insert(table).values(**values, **fixed)


INSERT = Statement(
    insert_into(TRIALS, "study_id", "number", "state", "datetime_start").returning(
        TRIALS.c.trial_id
    )
)
SELECT = Statement(
    sa.select(TRIALS.c.number, TRIALS.c.state).where(
        TRIALS.c.number >= sa.bindparam("first", type_=sa.Integer)
    )
)
COUNT_RUNNING = Statement(
    sa.select(sa.func.count()).select_from(TRIALS).where(TRIALS.c.state == TrialState.RUNNING)
)
INSERT_LEASE = Statement(
    insert_into(schema.leases, "trial_id", "study_id", "worker_id", expires_at=now())
)
LEASE_OF_NOTHING = {"trial_id": 12345, "study_id": 1, "worker_id": "nobody"}


def row(connection: sa.Connection, number: int, state: TrialState) -> dict[str, object]:
    """Return the values of a trial of the study."""
    spec = make_spec()
    study_id = find_study(connection, spec.key(next(iter(spec.optimizers)))).study_id
    start = datetime(2026, 1, 2, 3, 4, 5, 678)
    return {"study_id": study_id, "number": number, "state": state, "datetime_start": start}


def test_values_arrive_as_sqlalchemy_itself_reads_them(database: Database) -> None:
    """States and times go through the types of their columns."""
    with database.write() as connection:
        given = row(connection, 7, TrialState.PRUNED)
        ((trial_id,),) = INSERT.run(connection, **given)
        stored = connection.execute(sa.select(TRIALS)).mappings().one()
        assert {**given, "trial_id": trial_id}.items() <= dict(stored).items()
        assert SELECT.run(connection, first=0) == [(7, TrialState.PRUNED)]
        assert SELECT.run(connection, first=8) == []


def test_answers_come_in_the_order_of_the_calls(database: Database) -> None:
    """A later statement sees what an earlier one of the same trip did."""
    with database.write() as connection:
        first, second = (row(connection, n, TrialState.RUNNING) for n in range(2))
        answers = run_together(
            connection,
            [(COUNT_RUNNING, {}), (INSERT, first), (COUNT_RUNNING, {}), (INSERT, second)],
        )
        assert answers[0] == [(0,)]
        assert answers[2] == [(1,)]
        assert answers[1] != answers[3]


@pytest.mark.parametrize("many", [False, True])
def test_the_error_is_that_of_the_statement_that_failed(database: Database, many: bool) -> None:
    """Not of those after it, which a broken pipeline refuses, and which would look like an outage.

    Nothing of the transaction stays, and the next one is none the worse.
    """

    def fail() -> None:
        wrong = [LEASE_OF_NOTHING] if many else LEASE_OF_NOTHING
        with database.write() as connection:
            good = row(connection, 0, TrialState.RUNNING)
            run_together(connection, [(INSERT, good), (INSERT_LEASE, wrong), (COUNT_RUNNING, {})])

    with pytest.raises(IntegrityError) as caught:
        fail()
    assert "foreign key" in str(caught.value.orig).lower()
    assert "12345" not in str(caught.value).splitlines()[0]
    with database.write() as connection:
        assert COUNT_RUNNING.run(connection) == [(0,)]


def test_a_lost_connection_is_an_outage(postgres_url: str) -> None:
    """It is given up at once, not found dead at the rollback; the next one is new."""
    with Store.open(postgres_url, patience=1.0) as store:
        database = store._database
        given_up = []

        def lose() -> None:
            with database.write() as connection:
                mine = connection.execute(sa.select(sa.func.pg_backend_pid())).scalar_one()
                with database.engine.connect() as other:
                    other.execute(sa.select(sa.func.pg_terminate_backend(mine)))
                try:
                    run_together(connection, [(COUNT_RUNNING, {}), (COUNT_RUNNING, {})])
                except DBAPIError as error:
                    given_up.append((error.connection_invalidated, connection.invalidated))
                    raise

        with pytest.raises(OutageError):
            lose()
        assert given_up == [(True, True)]
        with database.read() as connection:
            assert COUNT_RUNNING.run(connection) == [(0,)]


def test_the_clock_is_that_of_the_database(database: Database) -> None:
    """It goes on within a transaction, and is near this machine's on this machine."""
    clock = Statement(sa.select(now()))
    with database.write() as connection:
        (before,), (after,) = (clock.run(connection)[0] for _ in range(2))
    assert before <= after
    assert after == pytest.approx(time.time(), abs=60.0)


def test_a_missing_value_is_an_error(database: Database) -> None:
    """None is never put in the place of what was forgotten."""
    with pytest.raises((KeyError, DBAPIError)), database.write() as connection:
        SELECT.run(connection)
