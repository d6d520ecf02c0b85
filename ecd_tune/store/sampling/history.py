"""The history of one study for a sampler: the stored trials in memory, read incrementally.

Optuna's samplers read whole studies at every draw. A history gives them the database's trials from
memory: at each :meth:`TrialHistory.sync` only those are read that are new or were not finished
before.
Running trials are shown too, so that samplers keep away from points that someone works on.

A sampler with a bounded history of N sees the N complete or pruned trials of the highest numbers,
the best complete ones (:data:`ecd_tune.store.sampling.memory.BEST`), and those that run. Then only
these are read when a study is opened. Of trials that exceeded memory or time it sees those among
the latest (:mod:`ecd_tune.store.sampling.constraints`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, cast

import optuna
import sqlalchemy as sa
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState

from ecd_tune.errors import StoreError
from ecd_tune.records import Params, Scalar
from ecd_tune.space import Space, Suggester
from ecd_tune.store.db import optuna_tables
from ecd_tune.store.db.stored import (
    StoredTrial,
    TrialPart,
    fill_trials,
    parse_params,
    read_trials,
)
from ecd_tune.store.sampling.constraints import (
    PREFIX,
    knows_constraints,
    show_violations,
    violates,
)
from ecd_tune.store.sampling.memory import BEST, BestTrials, MemoryStorage, frozen_trial
from ecd_tune.store.sampling.points import StoredPoint
from ecd_tune.store.sampling.samplers import SeededSampler
from ecd_tune.store.studies import StudyRef

__all__ = ["TrialHistory"]

_SHOWN = (OptunaState.RUNNING, OptunaState.COMPLETE, OptunaState.PRUNED)
_FINISHED = (OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.FAIL)
_VALUED = (OptunaState.COMPLETE, OptunaState.PRUNED)
# Stands for trials that a bounded history does not show.
_UNSEEN = frozen_trial(-1, OptunaState.FAIL)
# Samplers write these for other processes that draw at the same time; here a trial becomes visible
# with all its parameters at once, so they would be redundant.
_REDUNDANT = ("tpe:relative_params", "gp:relative_params")


class TrialHistory:
    """The stored trials of one study, as Optuna's samplers see them. For one thread at a time.

    Args:
        ref: The study.
    """

    def __init__(self, ref: StudyRef) -> None:
        self._ref = ref
        self._direction = optuna_tables.to_optuna_direction(ref.direction)
        self._storage = MemoryStorage(ref.key.name, self._direction)
        self._best = BestTrials(self._direction)
        self._study = optuna.load_study(
            study_name=ref.key.name,
            storage=self._storage,
            sampler=RandomSampler(),
            pruner=NopPruner(),
        )
        self._next = 0
        self._open: dict[int, int] = {}  # trial id to number, of trials that are not finished
        self._violating: set[int] = set()  # numbers of trials beyond memory or time

    @property
    def next_number(self) -> int:
        """The number of the first trial that is not in the database, as far as the view knows."""
        return self._next

    @property
    def changed_study_attrs(self) -> dict[str, Any]:
        """Attributes that samplers set on the study since the last sync."""
        return self._storage.changed_study_attrs

    def sync(self, connection: sa.Connection, bound: int | None = None) -> None:
        """Take over what changed in the database, and forget what was drawn and not adopted.

        Args:
            connection: A transaction.
            bound: Number of finished trials that the sampler sees in addition to the best ones;
                None for all.

        Raises:
            StoreError: The trial numbers have a gap, which neither Optuna nor the store makes.
        """
        if self._next == 0 and bound is not None:
            self._pass_over(connection, bound)
        first = self._next
        del self._storage.trials[first:]
        for stored in sorted(self._read_changed(connection), key=lambda trial: trial.number):
            known = self._storage.trials[stored.number] if stored.number < first else _UNSEEN
            if stored.number < first and known.state is OptunaState[stored.state]:
                continue
            if stored.number > self._next:
                raise StoreError(
                    f"study {self._ref.key.name}: trial {self._next} is missing in the "
                    "database; restore it from a backup, or give the study another name"
                )
            self._take(stored)
        self._sync_attrs(connection)

    def _pass_over(self, connection: sa.Connection, bound: int) -> None:
        """Read nothing of the trials before those that are seen, but the best and the open ones."""
        t, values = optuna_tables.trials.c, optuna_tables.trial_values.c
        mine = t.study_id == self._ref.id
        valued = t.state.in_([state.name for state in _VALUED])
        latest = sa.select(t.number).where(mine, valued).order_by(t.number.desc())
        first = connection.scalar(latest.offset(bound - 1).limit(1))
        if not first:
            return
        earlier = mine & (t.number < first)
        self._next, self._storage.trials = first, [_UNSEEN] * first
        unfinished = t.state.not_in([state.name for state in _FINISHED])
        for trial_id, number in connection.execute(
            sa.select(t.trial_id, t.number).where(earlier, unfinished)
        ):
            self._open[trial_id] = number
        minimized = self._direction is StudyDirection.MINIMIZE
        best = (
            sa.select(t.trial_id)
            .join(optuna_tables.trial_values, values.trial_id == t.trial_id)
            .where(earlier, t.state == OptunaState.COMPLETE.name)
            .where(values.value_type == optuna_tables.FINITE)
            .order_by(values.value if minimized else values.value.desc(), t.number)
            .limit(BEST)
        )
        for stored in _read_shown(connection, t.trial_id.in_(connection.scalars(best).all())):
            self._take(stored)

    def _take(self, stored: StoredTrial) -> None:
        trial = _to_frozen(stored, OptunaState[stored.state])
        self._place(stored.id, trial)
        for number in trial.system_attrs.get("retry_history", ()):
            # A paused trial was one with a value until it was promoted.
            if self._storage.trials[number].state is OptunaState.PRUNED:
                self._storage.trials[number] = _UNSEEN
        if violates(trial):
            self._violating.add(trial.number)
        if trial.state is OptunaState.COMPLETE:
            self._best.add(trial)

    def skip_to(self, number: int) -> None:
        """Drop all trials and continue at a number, for a sampler that ignores them.

        Args:
            number: Number of the first trial that is not in the database.
        """
        self._storage.trials = [_UNSEEN] * number
        self._open, self._next, self._violating = {}, number, set()
        self._best = BestTrials(self._direction)

    def draw(self, space: Space, count: int, sampler: SeededSampler) -> list[StoredPoint]:
        """Let a sampler draw points; they stay in the view as running trials until the next sync.

        Args:
            space: The search space.
            count: How many points.
            sampler: Who draws.

        Returns:
            The points, in order.
        """
        self._show_to(sampler)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return [self._suggest(space, self._study.ask()) for _ in range(count)]

    def complete(
        self, space: Space, number: int, fixed: Params, sampler: SeededSampler
    ) -> StoredPoint:
        """Let a sampler draw what a queued trial leaves open.

        Args:
            space: The search space.
            number: Number of the queued trial.
            fixed: The values that were queued.
            sampler: Who draws.

        Returns:
            The whole point.

        Raises:
            ValueError: A queued value is not one of the space's choices.
        """
        self._storage.trials[number : number + 1] = [
            frozen_trial(number, OptunaState.RUNNING, system_attrs={"fixed_params": dict(fixed)})
        ]
        self._show_to(sampler)
        with warnings.catch_warnings():
            # A queued value outside a range is what someone asked for.
            warnings.simplefilter("ignore")
            return self._suggest(space, Trial(self._study, number))

    def adopt(self, trial_ids: Sequence[int], replaced: Mapping[int, StoredPoint]) -> None:
        """Keep the drawn points: they are in the database now, under the numbers of the view.

        Args:
            trial_ids: Their ids, in the order in which they were drawn.
            replaced: Number to the point that was stored in place of the drawn one.
        """
        for trial_id in trial_ids:
            if self._next in replaced:
                self._storage.trials[self._next] = _running(self._next, replaced[self._next])
            self._open[trial_id] = self._next
            self._next += 1
        self._storage.changed_study_attrs = {}

    def _show_to(self, sampler: SeededSampler) -> None:
        self._study.sampler = sampler.sampler
        seen = None if sampler.history is None else self._recall(sampler.history)
        if self._violating and knows_constraints(sampler.sampler):
            given = self._storage.trials if seen is None else seen
            seen = show_violations(given, sampler.sampler, self._direction)
        self._storage.seen = seen

    def _recall(self, history: int) -> list[FrozenTrial]:
        trials = self._storage.trials
        valued = (trial for trial in reversed(trials) if trial.state in _VALUED)
        latest = [*islice(valued, history)]
        first = latest[-1].number if len(latest) == history else 0
        others = {*self._open.values(), *(n for n in self._violating if n >= first)}
        shown = (*latest, *self._best, *(trials[number] for number in others))
        kept = {trial.number: trial for trial in shown}
        return [kept[number] for number in sorted(kept)]

    def _suggest(self, space: Space, trial: Trial) -> StoredPoint:
        params = space.suggest(cast(Suggester, trial))
        frozen = self._storage.trials[trial.number]
        return StoredPoint(
            params={name: _plain(value) for name, value in params.items()},
            distributions=frozen.distributions,
            system_attrs=_stored_attrs(frozen.system_attrs),
        )

    def _read_changed(self, connection: sa.Connection) -> list[StoredTrial]:
        trials = optuna_tables.trials
        mine = trials.c.study_id == self._ref.id
        fresh = mine & (trials.c.number >= self._next)
        known = mine & trials.c.trial_id.in_(list(self._open))
        # Two queries, because with a single OR a database may read the whole study.
        return [
            trial
            for chosen in ((known, fresh) if self._open else (fresh,))
            for trial in _read_shown(connection, chosen)
        ]

    def _place(self, trial_id: int, trial: FrozenTrial) -> None:
        if trial.number == self._next:
            self._next += 1
            self._storage.trials.append(trial)
        else:
            self._storage.trials[trial.number] = trial
        if trial.state in _FINISHED:
            self._open.pop(trial_id, None)
        else:
            self._open[trial_id] = trial.number

    def _sync_attrs(self, connection: sa.Connection) -> None:
        table = optuna_tables.study_system_attributes
        rows = connection.execute(
            sa.select(table.c.key, table.c.value_json).where(
                # Without notes and plots of the dashboard, which may be large.
                table.c.study_id == self._ref.id,
                table.c.key.not_like("dashboard:%"),
            )
        )
        self._storage.study_attrs = {key: optuna_tables.load_attr(text) for key, text in rows}
        self._storage.changed_study_attrs = {}


def _read_shown(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[StoredTrial]:
    state = optuna_tables.trials.c.state
    found = read_trials(connection, condition)
    shown = {trial.id: trial for trial in found if OptunaState[trial.state] in _SHOWN}
    parts = (TrialPart.PARAMS, TrialPart.SYSTEM_ATTRS, TrialPart.VALUES)
    fill_trials(connection, shown, condition, parts)
    _fill_violating(connection, found, condition)
    # Samplers use the reports of pruned trials only.
    pruned = {i: trial for i, trial in shown.items() if trial.state == OptunaState.PRUNED.name}
    only = condition & (state == OptunaState.PRUNED)
    fill_trials(connection, pruned, only, (TrialPart.POINTS,))
    return found


def _fill_violating(
    connection: sa.Connection, found: Sequence[StoredTrial], condition: sa.ColumnElement[bool]
) -> None:
    """Read what a sampler may want to know of failed trials: those beyond memory or time."""
    failed = {trial.id: trial for trial in found if trial.state == OptunaState.FAIL.name}
    only = condition & (optuna_tables.trials.c.state == OptunaState.FAIL)
    fill_trials(connection, failed, only, (TrialPart.SYSTEM_ATTRS,), [f"{PREFIX}%"])
    violating = {i: trial for i, trial in failed.items() if trial.system_attrs}
    fill_trials(connection, violating, only, (TrialPart.PARAMS,))


def _to_frozen(stored: StoredTrial, state: OptunaState) -> FrozenTrial:
    params, distributions = parse_params(stored)
    return frozen_trial(
        stored.number,
        state,
        params=params,
        distributions=distributions,
        system_attrs={k: optuna_tables.load_attr(text) for k, text in stored.system_attrs},
        intermediate_values=dict(stored.points),
        values=stored.values or None,
    )


def _running(number: int, point: StoredPoint) -> FrozenTrial:
    params = {name: point.params[name] for name in point.distributions}
    return frozen_trial(
        number, OptunaState.RUNNING, params=params, distributions=dict(point.distributions)
    )


def _stored_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in attrs.items()
        if not key.startswith(_REDUNDANT) and key != "fixed_params"
    }


def _plain(value: Scalar) -> Scalar:
    # Samplers return NumPy's floats too, which are equal but print differently.
    return float(value) if isinstance(value, float) else value
