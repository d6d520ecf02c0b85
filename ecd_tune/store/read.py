"""Reading methods of the shared store, and its connections."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.errors import StoreError
from ecd_tune.records import Cause, Curve, Origin, RunCost, StudyKey, TrialRecord, TrialState
from ecd_tune.spec import CheckSpec
from ecd_tune.store.db import optuna_tables
from ecd_tune.store.db.cells import load
from ecd_tune.store.db.engine import Database
from ecd_tune.store.db.retrying import Stop
from ecd_tune.store.db.stored import (
    StoredTrial,
    TrialPart,
    fill_trials,
    parse_params,
    read_trials,
)
from ecd_tune.store.declared import read_declared, read_tables
from ecd_tune.store.events import Event, read_events
from ecd_tune.store.studies import find_study, list_studies, to_ref
from ecd_tune.store.trials.progress import Progress, read_progress, read_reasons
from ecd_tune.store.workers import WorkerRecord, read_workers

__all__ = ["StoreReader"]

_T = TypeVar("_T")
_WITH_POINTS = (OptunaState.RUNNING, OptunaState.COMPLETE, OptunaState.PRUNED)


class StoreReader:
    """Reads studies, trials, workers and events; waits for a database that is away.

    :class:`ecd_tune.store.Store`, which opens it, adds all that changes something.

    Args:
        database: The database, its schema prepared.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._retry_policy = database, database.retry_policy

    @property
    def url(self) -> str:
        """The URL, its password hidden."""
        return self._database.shown

    def set_stop_signal(self, stop: Stop) -> None:
        """Let a call that waits for the database end soon after a stop signal.

        Args:
            stop: Polled while waiting.
        """
        self._retry_policy.stop = stop

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> NoReturn:
        # Its connections belong to this process, and the URL may contain a password.
        raise StoreError("a Store cannot be pickled; open one in the other process by its URL")

    def studies(self) -> list[str]:
        """Return the names of all studies, sorted."""
        return self._read(list_studies)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return, by name, the table of each study whose task is named by reference."""
        return self._read(read_tables)

    def identity(self, key: StudyKey) -> dict[str, Any]:
        """Return the identity of a study, as from :meth:`StudySpec.identity`.

        Args:
            key: The study.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        identity = self._read(lambda connection: find_study(connection, key).identity)
        return dict(json.loads(identity))

    def sampler(self, study: str) -> dict[str, Any] | None:
        """Return the table ``[sampler]`` that a study was created with.

        Args:
            study: Name of the study.

        Returns:
            The table; None where there is no such study.
        """
        progress = self.progress(study)
        return dict(self.identity(progress[0].key)["sampler"]) if progress else None

    def declared(self, key: StudyKey) -> tuple[CheckSpec, ...]:
        """Return the checks that a search declared before its first trial.

        Args:
            key: The search of one optimizer.

        Returns:
            The checks, each naming the optimizer.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        return self._read(
            lambda connection: read_declared(connection, to_ref(find_study(connection, key)).id)
        )

    def trials(self, key: StudyKey, *, curves: bool = True) -> list[TrialRecord]:
        """Read all trials of one study, lost attempts included.

        Args:
            key: The study.
            curves: Read the curves too.

        Returns:
            Records by number.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        return self._read(lambda connection: _read_records(connection, key, curves))

    def points(self, key: StudyKey) -> dict[int, tuple[TrialState, dict[int, float]]]:
        """Read the curves of the trials that run or have ended with a value, for pruners.

        Args:
            key: The study.

        Returns:
            Number to the state and to step and value of each point that is stored.

        Raises:
            StudyNotFoundError: There is no such study.
        """
        return self._read(lambda connection: _read_points(connection, key))

    def progress(self, study: str) -> list[Progress]:
        """Count the trials of a study; fast enough for a live display.

        Args:
            study: Name of the study.

        Returns:
            One entry per optimizer and stage; none for an unknown study.
        """
        return self._read(lambda connection: read_progress(connection, study))

    def reasons(self, study: str) -> list[tuple[StudyKey, str, int]]:
        """Count the reasons for which trials of a study diverged, failed or were pruned.

        Args:
            study: Name of the study.

        Returns:
            Which Optuna study, the reason as stored, and its number of trials.
        """
        return self._read(lambda connection: read_reasons(connection, study))

    def workers(self) -> list[WorkerRecord]:
        """Return all workers, the one seen last first."""
        return self._read(read_workers)

    def events(self, study: str) -> list[Event]:
        """Return the events of a study, oldest first.

        Args:
            study: Name of the study.
        """
        return self._read(lambda connection: read_events(connection, study))

    def _read(self, look: Callable[[sa.Connection], _T]) -> _T:
        def call(again: bool) -> _T:
            with self._database.read() as connection:
                return look(connection)

        return self._retry_policy.call(call)


def _read_records(connection: sa.Connection, key: StudyKey, curves: bool) -> list[TrialRecord]:
    mine = optuna_tables.trials.c.study_id == find_study(connection, key).study_id
    run = TrialPart.RUN if curves else TrialPart.BARE_RUN
    found = read_trials(connection, mine, (TrialPart.VALUES, run))
    others = {trial.id: trial for trial in found if trial.run is None}
    fill_trials(connection, others, mine, (TrialPart.PARAMS,))
    found.sort(key=lambda trial: trial.number)
    return [_to_record(key, trial, curves) for trial in found]


def _read_points(
    connection: sa.Connection, key: StudyKey
) -> dict[int, tuple[TrialState, dict[int, float]]]:
    trials, study_id = optuna_tables.trials, find_study(connection, key).study_id
    shown = (trials.c.study_id == study_id) & trials.c.state.in_(_WITH_POINTS)
    return {
        trial.number: (TrialState(trial.state), dict(trial.points))
        for trial in read_trials(connection, shown, (TrialPart.POINTS,))
        if trial.points
    }


def _to_record(key: StudyKey, trial: StoredTrial, curves: bool) -> TrialRecord:
    value = trial.values[0] if trial.values else None
    own: dict[str, Any] = {"params": parse_params(trial)[0]}
    if trial.run is not None:
        own = _from_run(trial.run, curves)
    return TrialRecord(
        key=key,
        number=trial.number,
        state=TrialState(trial.state),
        value=value if value is not None and math.isfinite(value) else None,
        started=_aware(trial.started),
        completed=_aware(trial.completed),
        **own,
    )


def _from_run(run: Any, curves: bool) -> dict[str, Any]:
    return {
        "params": load(run.params),
        "seed": run.seed,
        "source": run.source,
        "attempt": run.attempt,
        "lost": run.lost,
        "metrics": {name: float(value) for name, value in load(run.metrics).items()},
        "curves": _to_curves(run.curves) if curves else {},
        "reason": run.reason,
        "cause": None if run.cause is None else Cause(run.cause),
        "cost": RunCost(
            run.seconds, run.device, run.energy_kwh, run.energy_source or "", run.carbon_kg
        ),
        "worker": run.worker,
        "origin": None if run.origin is None else Origin(**load(run.origin)),
    }


def _to_curves(text: str | None) -> dict[str, Curve]:
    return {
        name: Curve(tuple(steps), tuple(float(value) for value in values))
        for name, (steps, values) in load(text).items()
    }


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
