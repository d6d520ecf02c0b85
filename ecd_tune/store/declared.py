"""The checks that a study declared before its first trial, among its attributes in Optuna."""

from __future__ import annotations

import json

import sqlalchemy as sa

from ecd_tune.records import StudyKey
from ecd_tune.spec import CheckSpec, StudySpec
from ecd_tune.store.db import optuna_tables

__all__ = ["keep_declared", "read_declared"]

_NAME = "checks"


def keep_declared(connection: sa.Connection, spec: StudySpec, key: StudyKey, study_id: int) -> None:
    """Keep the checks of one optimizer's search, as long as it has no trial.

    Args:
        connection: A write transaction.
        spec: The study.
        key: One of its Optuna studies, a search.
        study_id: Its id.
    """
    table = optuna_tables.study_user_attributes
    checks = [check.model_dump(mode="json") for check in spec.checks_of(key.optimizer)]
    text = json.dumps(checks, sort_keys=True)
    here = (table.c.study_id == study_id, table.c.key == _NAME)
    stored = connection.execute(sa.select(table.c.value_json).where(*here)).scalar()
    if stored == text or (stored is None and not checks) or _has_trials(connection, study_id):
        return
    connection.execute(sa.delete(table).where(*here))
    row = {"study_id": study_id, "key": _NAME, "value_json": text}
    connection.execute(sa.insert(table), [row])


def _has_trials(connection: sa.Connection, study_id: int) -> bool:
    trials = optuna_tables.trials
    return bool(
        connection.execute(sa.select(sa.exists().where(trials.c.study_id == study_id))).scalar()
    )


def read_declared(connection: sa.Connection, study_id: int) -> tuple[CheckSpec, ...]:
    """Return the checks that were declared before the first trial.

    Args:
        connection: A transaction.
        study_id: Id of the search.

    Returns:
        The checks; none where none were.
    """
    table = optuna_tables.study_user_attributes
    here = (table.c.study_id == study_id, table.c.key == _NAME)
    stored = connection.execute(sa.select(table.c.value_json).where(*here)).scalar()
    return tuple(CheckSpec.model_validate(check) for check in json.loads(stored or "[]"))
