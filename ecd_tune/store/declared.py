"""Declarations of a study in its Optuna attributes: its checks, and how to recreate it.

Checks are those from before the first trial. The table of a study whose task is named by reference
is stored, so that a worker needs only the reference to join.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from ecd_tune.records import StudyKey
from ecd_tune.references import is_reference
from ecd_tune.spec import CheckSpec, StudySpec, study_table
from ecd_tune.store.db import optuna_tables, tables

__all__ = ["keep_declared", "keep_table", "read_declared", "read_tables"]

_NAME = "checks"
_TABLE = "table"


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


def keep_table(connection: sa.Connection, spec: StudySpec, study_id: int) -> None:
    """Store the table of a study whose task is named by reference; the newest one applies.

    Args:
        connection: A write transaction.
        spec: The study.
        study_id: Id of the search of one of its optimizers.
    """
    if not is_reference(spec.task.name):
        return
    table = optuna_tables.study_user_attributes
    own = study_table(spec)
    # The path of its file differs between machines.
    own["task"] = {**own["task"], "name": spec.task_def.name}
    text = json.dumps(own)
    here = (table.c.study_id == study_id, table.c.key == _TABLE)
    if connection.execute(sa.select(table.c.value_json).where(*here)).scalar() != text:
        connection.execute(sa.delete(table).where(*here))
        row = {"study_id": study_id, "key": _TABLE, "value_json": text}
        connection.execute(sa.insert(table), [row])


def read_tables(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """Return the tables of all studies whose task is named by reference.

    Args:
        connection: A transaction.

    Returns:
        Name of the study to its table, with all optimizers that it was ever run with.
    """
    table, studies = optuna_tables.study_user_attributes, tables.studies
    rows = connection.execute(
        sa.select(studies.c.study, studies.c.optimizer, table.c.value_json)
        .join(studies, studies.c.study_id == table.c.study_id)
        .where(table.c.key == _TABLE)
        .order_by(studies.c.study_id)
    )
    found: dict[str, dict[str, Any]] = {}
    for study, optimizer, text in rows:
        own = json.loads(text)
        before = found.get(study, {}).get("optimizers", {})
        found[study] = {**own, "optimizers": {**before, optimizer: own["optimizers"][optimizer]}}
    return found
