"""Create studies, and check that a stored one was created from the same study file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ecd_tune.errors import FingerprintMismatchError, StudyNotFoundError, hint
from ecd_tune.records import Direction, Stage, StudyKey
from ecd_tune.spec import StudySpec, differences, fingerprint_of
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.pipeline import UNREAD
from ecd_tune.store.declared import keep_declared, keep_table
from ecd_tune.store.trials.retries import dump_counts

__all__ = [
    "KnownStudies",
    "StudyRef",
    "check_fingerprint",
    "create_studies",
    "find_study",
    "known_ids",
    "list_studies",
    "lock_studies",
    "to_ref",
]


def create_studies(connection: sa.Connection, spec: StudySpec) -> None:
    """Create one Optuna study per search of an optimizer and stage where it is not there yet.

    Args:
        connection: A write transaction.
        spec: The study.

    Raises:
        FingerprintMismatchError: One exists that was created from another study file.
    """
    stored, searches = _stored_studies(connection, spec.name), spec.by_search()
    for optimizer in searches.optimizers:
        for stage in spec.stages:
            key = spec.key(optimizer, stage)
            row = stored.get((optimizer, stage.value))
            if row is None:
                study_id = _create(connection, searches, key)
            else:
                check_fingerprint(searches, key, row.fingerprint, row.identity)
                _update(connection, searches, key, row)
                study_id = row.study_id
            # Attributes of all searches of an optimizer are stored with the first.
            if stage is Stage.SEARCH and optimizer in spec.optimizers:
                keep_declared(connection, spec, key, study_id)
                keep_table(connection, spec, study_id)


def check_fingerprint(spec: StudySpec, key: StudyKey, fingerprint: str, identity: str) -> None:
    """Compare a stored study with the current study file.

    Args:
        spec: The study of the current file.
        key: Which of its Optuna studies.
        fingerprint: As stored.
        identity: As stored, JSON.

    Raises:
        FingerprintMismatchError: They differ; the message lists what.
    """
    given, stored = spec.fingerprint(key.optimizer), json.loads(identity)
    # Before 2026-11-28 the form of a number counted too.
    if given in (fingerprint, fingerprint_of(stored)):
        return
    lines = [f"  {line}" for line in differences(stored, spec.identity(key.optimizer))]
    raise FingerprintMismatchError(
        f"study {key.study!r}, optimizer {key.optimizer!r}: the stored study differs from the "
        "study file (stored -> given):\n"
        + "\n".join(lines)
        + "\nGive the study another name, use another storage, or undo the change."
    )


def find_study(connection: sa.Connection, key: StudyKey) -> sa.Row[Any]:
    """Return a stored study's row.

    Args:
        connection: A transaction.
        key: The study.

    Returns:
        Its row in ``ecd_studies``.

    Raises:
        StudyNotFoundError: There is none; the message lists those that exist.
    """
    row = _stored_studies(connection, key.study).get((key.optimizer, key.stage.value))
    if row is None:
        existing = {
            StudyKey(row.study, row.optimizer, Stage(row.stage)) for row in _all_studies(connection)
        }
        studies = sorted({other.study for other in existing})
        if key.study not in studies:
            told = hint(key.study, studies, "stored study")
            raise StudyNotFoundError(f"no study {key.study!r} in this storage{told}")
        own = sorted(other.name for other in existing if other.study == key.study)
        raise StudyNotFoundError(f"no study {key.name!r} in this storage{hint(key.name, own)}")
    return row


@dataclass(frozen=True)
class StudyRef:
    """One stored study, found by its key.

    Attributes:
        id: Optuna's study id.
        key: Its names.
        direction: Of its metric.
    """

    id: int
    key: StudyKey
    direction: Direction


def lock_studies(connection: sa.Connection, study_ids: Iterable[int]) -> None:
    """Lock studies until the transaction ends, in an order that cannot deadlock.

    Args:
        connection: A write transaction (which on SQLite has locked the whole file already).
        study_ids: Optuna's study ids.
    """
    if connection.dialect.name != "sqlite":
        for study_id in sorted(study_ids):
            connection.execute(_LOCK, {"study": study_id}, execution_options=UNREAD)


class KnownStudies:
    """Finds stored studies, and remembers which study files were compared with them."""

    def __init__(self) -> None:
        self._compared: dict[StudyKey, tuple[StudySpec, str]] = {}

    def find(self, connection: sa.Connection, spec: StudySpec, optimizer: str) -> StudyRef:
        """Find a study and check that it was created from a study file.

        Read every time: a study that was deleted and created again has another id.

        Args:
            connection: A transaction.
            spec: The study file.
            optimizer: Key of the optimizer.

        Returns:
            Its id and names.

        Raises:
            StudyNotFoundError: It is not here.
            FingerprintMismatchError: It was created from a different study file.
        """
        key = spec.key(optimizer)
        values = {"study": key.study, "optimizer": key.optimizer, "stage": key.stage.value}
        for study_id, direction, fingerprint in connection.execute(_LOOK_UP, values):
            if self._compared.get(key) == (spec, fingerprint):
                return StudyRef(study_id, key, Direction(direction))
        row = find_study(connection, key)
        check_fingerprint(spec, key, row.fingerprint, row.identity)
        self._compared[key] = (spec, row.fingerprint)
        return to_ref(row)

    def fingerprint(self, key: StudyKey) -> str:
        """Return the fingerprint of a stored study, as it was when :meth:`find` found it.

        Args:
            key: Names of the study.

        Returns:
            The fingerprint.
        """
        return self._compared[key][1]


def to_ref(row: sa.Row[Any]) -> StudyRef:
    """Return a stored study's names and id."""
    key = StudyKey(row.study, row.optimizer, Stage(row.stage))
    return StudyRef(row.study_id, key, Direction(row.direction))


def known_ids(connection: sa.Connection, keys: Iterable[StudyKey]) -> list[int]:
    """Return the ids of those studies that exist."""
    wanted = {(key.study, key.optimizer, key.stage.value) for key in keys}
    table = tables.studies
    rows = connection.execute(
        sa.select(table.c.study_id, table.c.study, table.c.optimizer, table.c.stage).where(
            table.c.study.in_({study for study, _, _ in wanted})
        )
    )
    return [study_id for study_id, *key in rows if tuple(key) in wanted]


def list_studies(connection: sa.Connection) -> list[str]:
    """Return the names of all studies, sorted."""
    return sorted({row.study for row in _all_studies(connection)})


def _build_look_up() -> sa.Select[Any]:
    table = tables.studies
    key = (table.c[name] == sa.bindparam(name) for name in ("study", "optimizer", "stage"))
    return sa.select(table.c.study_id, table.c.direction, table.c.fingerprint).where(*key)


def _build_lock() -> sa.Select[Any]:
    table = optuna_tables.studies
    chosen = table.c.study_id == sa.bindparam("study")
    # Not against key shares: a row that merely refers to the study is no decision about it.
    return sa.select(table.c.study_id).where(chosen).with_for_update(key_share=True)


_LOOK_UP = _build_look_up()
_LOCK = _build_lock()


def _all_studies(connection: sa.Connection) -> list[sa.Row[Any]]:
    return list(connection.execute(sa.select(tables.studies)))


def _stored_studies(connection: sa.Connection, study: str) -> dict[tuple[str, str], sa.Row[Any]]:
    table = tables.studies
    rows = connection.execute(sa.select(table).where(table.c.study == study))
    return {(row.optimizer, row.stage): row for row in rows}


def _create(connection: sa.Connection, spec: StudySpec, key: StudyKey) -> int:
    task = spec.task_def
    study_id = _create_in_optuna(connection, spec, key)
    connection.execute(
        sa.insert(tables.studies).values(
            study_id=study_id,
            study=key.study,
            optimizer=key.optimizer,
            stage=key.stage.value,
            direction=task.direction.value,
            identity=json.dumps(spec.identity(key.optimizer), sort_keys=True),
            fingerprint=spec.fingerprint(key.optimizer),
            target=spec.runs(key.optimizer, key.stage),
            retries=dump_counts(spec.retries.counts()),
        )
    )
    return study_id


def _create_in_optuna(connection: sa.Connection, spec: StudySpec, key: StudyKey) -> int:
    studies, task = optuna_tables.studies, spec.task_def
    connection.execute(sa.insert(studies).values(study_name=key.name))
    study_id = connection.execute(
        sa.select(studies.c.study_id).where(studies.c.study_name == key.name)
    ).scalar_one()
    connection.execute(
        sa.insert(optuna_tables.study_directions).values(
            study_id=study_id,
            objective=0,
            direction=optuna_tables.to_optuna_direction(task.direction),
        )
    )
    # The name of the value, as Optuna's set_metric_names stores it for the dashboard.
    connection.execute(
        sa.insert(optuna_tables.study_system_attributes).values(
            study_id=study_id,
            key="study:metric_names",
            value_json=json.dumps([task.metric]),
        )
    )
    attributes = {
        "study": spec.name,
        "optimizer": key.optimizer,
        "stage": key.stage.value,
        "task": task.name,
        "fingerprint": spec.fingerprint(key.optimizer),
    }
    if spec.sampler.why:
        attributes["sampler"] = f"{spec.sampler.name} (auto: {spec.sampler.why})"
    connection.execute(
        sa.insert(optuna_tables.study_user_attributes),
        [
            {"study_id": study_id, "key": name, "value_json": json.dumps(value)}
            for name, value in attributes.items()
        ],
    )
    return int(study_id)


def _update(connection: sa.Connection, spec: StudySpec, key: StudyKey, row: sa.Row[Any]) -> None:
    target, retries = spec.runs(key.optimizer, key.stage), dump_counts(spec.retries.counts())
    if (row.target, row.retries) != (target, retries):
        table = tables.studies
        statement = sa.update(table).where(table.c.study_id == row.study_id)
        connection.execute(statement.values(target=target, retries=retries))
