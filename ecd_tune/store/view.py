"""A sampler's view of one study: the stored trials in memory, read on incrementally.

Optuna's samplers read whole studies at every draw. A view gives them the database's trials from
memory: at each :meth:`View.sync` only those are read that are new or were not finished before.
Running trials are shown too, so that samplers keep away from points that somebody works on.

A sampler with a bounded history of N sees the N complete or pruned trials of the highest numbers,
the best complete ones (:data:`ecd_tune.store._view_storage.BEST`), and those that run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState

from ecd_tune.errors import StoreError
from ecd_tune.records import Params, Scalar
from ecd_tune.space import Space, Suggester
from ecd_tune.store import _optuna_schema as optuna_schema
from ecd_tune.store._rows import StudyRef
from ecd_tune.store._view_reading import fill_trials
from ecd_tune.store._view_storage import BestTrials, ViewStorage, frozen_trial
from ecd_tune.store.samplers import SeededSampler

__all__ = ["Point", "View"]

_SHOWN = (OptunaState.RUNNING, OptunaState.COMPLETE, OptunaState.PRUNED)
_FINISHED = (OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.FAIL)
_VALUED = (OptunaState.COMPLETE, OptunaState.PRUNED)
# Samplers write these for other processes that draw at the same moment; here a trial becomes
# visible to others with all its parameters at once, so they would say the same thing twice.
_REDUNDANT = ("tpe:relative_params", "gp:relative_params")


@dataclass(frozen=True)
class Point:
    """What a sampler drew.

    Attributes:
        params: All hyperparameters, fixed ones included.
        distributions: Of those that were drawn.
        system_attrs: What the sampler noted with the trial.
    """

    params: Params
    distributions: Mapping[str, BaseDistribution]
    system_attrs: Mapping[str, Any]


class View:
    """The stored trials of one study, as Optuna's samplers see them. For one thread at a time.

    Args:
        ref: The study.
    """

    def __init__(self, ref: StudyRef) -> None:
        self._ref = ref
        self._direction = optuna_schema.to_optuna_direction(ref.direction)
        self._storage = ViewStorage(ref.key.name, self._direction)
        self._best = BestTrials(self._direction)
        self._study = optuna.load_study(
            study_name=ref.key.name,
            storage=self._storage,
            sampler=RandomSampler(),
            pruner=NopPruner(),
        )
        self._ids: list[int] = []
        self._skipped = 0
        self._own: set[int] = set()  # ids of running trials that this view has drawn
        self._open: dict[int, int] = {}  # trial id to number, of trials that are not finished

    @property
    def next_number(self) -> int:
        """The number of the first trial that is not in the database, as far as the view knows."""
        return self._skipped + len(self._ids)

    @property
    def changed_study_attrs(self) -> dict[str, Any]:
        """What samplers noted with the study since the last sync."""
        return self._storage.changed_study_attrs

    def sync(self, connection: sa.Connection) -> None:
        """Take over what changed in the database, and forget what was drawn and not adopted.

        Args:
            connection: A transaction.

        Raises:
            StoreError: The trial numbers have a gap, which neither Optuna nor the store makes.
        """
        first = self.next_number
        del self._storage.trials[first:]
        shown: dict[int, FrozenTrial] = {}
        for trial_id, number, state in self._changed_rows(connection):
            if number < first and self._storage.trials[number].state is state:
                continue
            if number > self.next_number:
                raise StoreError(
                    f"study {self._ref.key.name}: trial {self.next_number} is missing in the "
                    "database; restore it from a backup, or give the study another name"
                )
            trial = frozen_trial(number, state)
            if trial_id in self._own:
                # What was drawn is what is stored.
                _take_over(trial, self._storage.trials[number])
            self._place(trial_id, trial)
            if state in _SHOWN:
                shown[trial_id] = trial
        fill_trials(connection, self._ref.id, shown, first)
        for trial in shown.values():
            if trial.state is OptunaState.COMPLETE:
                self._best.add(trial)
        self._sync_attrs(connection)

    def skip_to(self, number: int) -> None:
        """Forget all trials and go on at a number, for a sampler that looks at none.

        Args:
            number: Number of the first trial that is not in the database.
        """
        self._storage.trials = []
        self._ids, self._open, self._skipped = [], {}, number
        self._best = BestTrials(self._direction)

    def draw(self, space: Space, count: int, sampler: SeededSampler) -> list[Point]:
        """Let a sampler draw points; they stay in the view as running trials until the next sync.

        Args:
            space: What to draw from.
            count: How many points.
            sampler: Who draws.

        Returns:
            The points, in order.
        """
        self._show_to(sampler)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return [self._suggest(space, self._study.ask()) for _ in range(count)]

    def complete(self, space: Space, number: int, fixed: Params, sampler: SeededSampler) -> Point:
        """Let a sampler draw what a queued trial leaves open.

        Args:
            space: What to draw from.
            number: Number of the queued trial.
            fixed: The values that were queued.
            sampler: Who draws.

        Returns:
            The whole point.

        Raises:
            ValueError: A queued value is not one of the space's choices.
        """
        place = number - self._skipped
        self._storage.trials[place : place + 1] = [
            frozen_trial(place, OptunaState.RUNNING, system_attrs={"fixed_params": dict(fixed)})
        ]
        self._show_to(sampler)
        with warnings.catch_warnings():
            # A queued value outside a range is what somebody asked for.
            warnings.simplefilter("ignore")
            return self._suggest(space, Trial(self._study, place))

    def adopt(self, trial_ids: Sequence[int]) -> None:
        """Keep the drawn points: they are in the database now, under the numbers of the view.

        Args:
            trial_ids: Their ids, in the order in which they were drawn.
        """
        for trial_id in trial_ids:
            self._open[trial_id] = self.next_number
            self._own.add(trial_id)
            self._ids.append(trial_id)
        self._storage.changed_study_attrs = {}

    def _show_to(self, sampler: SeededSampler) -> None:
        self._study.sampler = sampler.sampler
        self._storage.seen = None if sampler.history is None else self._recall(sampler.history)

    def _recall(self, history: int) -> list[FrozenTrial]:
        trials = self._storage.trials
        valued = (trial for trial in reversed(trials) if trial.state in _VALUED)
        unfinished = (trials[number] for number in self._open.values())
        shown = (*islice(valued, history), *self._best, *unfinished)
        kept = {trial.number: trial for trial in shown}
        return [kept[number] for number in sorted(kept)]

    def _suggest(self, space: Space, trial: Trial) -> Point:
        params = space.suggest(cast(Suggester, trial))
        frozen = self._storage.trials[trial.number]
        return Point(
            params={name: _plain(value) for name, value in params.items()},
            distributions=frozen.distributions,
            system_attrs=_stored_attrs(frozen.system_attrs),
        )

    def _changed_rows(self, connection: sa.Connection) -> Sequence[Any]:
        trials = optuna_schema.trials
        statement = sa.select(trials.c.trial_id, trials.c.number, trials.c.state).where(
            trials.c.study_id == self._ref.id
        )
        # Two looks, since a database that is told "either, or" may read the whole study.
        fresh = statement.where(trials.c.number >= self.next_number).order_by(trials.c.number)
        known = statement.where(trials.c.trial_id.in_(list(self._open)))
        changed = list(connection.execute(known)) if self._open else []
        return [*changed, *connection.execute(fresh)]

    def _place(self, trial_id: int, trial: FrozenTrial) -> None:
        if trial.number == self.next_number:
            self._ids.append(trial_id)
            self._storage.trials.append(trial)
        else:
            self._storage.trials[trial.number] = trial
        if trial.state in _FINISHED:
            self._open.pop(trial_id, None)
            self._own.discard(trial_id)
        else:
            self._open[trial_id] = trial.number

    def _sync_attrs(self, connection: sa.Connection) -> None:
        table = optuna_schema.study_system_attributes
        rows = connection.execute(
            sa.select(table.c.key, table.c.value_json).where(table.c.study_id == self._ref.id)
        )
        self._storage.study_attrs = {key: optuna_schema.load_attr(text) for key, text in rows}
        self._storage.changed_study_attrs = {}


def _take_over(trial: FrozenTrial, drawn: FrozenTrial) -> None:
    trial.params, trial.distributions = drawn.params, drawn.distributions
    trial.system_attrs = _stored_attrs(drawn.system_attrs)


def _stored_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in attrs.items()
        if not key.startswith(_REDUNDANT) and key != "fixed_params"
    }


def _plain(value: Scalar) -> Scalar:
    # Samplers return NumPy's floats too, which are equal but print differently.
    return float(value) if isinstance(value, float) else value
