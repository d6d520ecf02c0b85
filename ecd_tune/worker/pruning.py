"""Return whether a running trial is behind the others, by Optuna's pruners.

A pruner compares one trial with the curves of all others. The curves are in the database, where
every worker writes them. Here they are cached in memory in Optuna's form; each update reads only
new points. Successive halving notes with a trial at which rungs it arrived, when it arrives: points
of other workers' trials are shown to the pruner in their order, as if it had been asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Lease, StudyKey, TrialState
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store
from ecd_tune.store.db.optuna_tables import to_optuna_direction
from ecd_tune.store.sampling.memory import MemoryStorage, frozen_trial
from ecd_tune.store.sampling.pruners import make_pruner

__all__ = ["TrialPruner"]

_LOOK_SECONDS = 5.0


class TrialPruner:
    """Decides for the trials of one optimizer's search.

    Args:
        store: The shared store.
        spec: The study.
        optimizer: Key of the optimizer.
    """

    def __init__(self, store: Store, spec: StudySpec, optimizer: str) -> None:
        self._store, self._kind = store, spec.pruning.kind
        self._key: StudyKey = spec.key(optimizer)
        direction = to_optuna_direction(spec.task_def.direction)
        self._memory = MemoryStorage(self._key.name, direction)
        self._pruner = make_pruner(spec)
        self._study = optuna.load_study(
            study_name=self._key.name,
            storage=self._memory,
            sampler=RandomSampler(),
            pruner=self._pruner,
        )
        self._finished: set[int] = set()
        self._asked: set[int] = set()
        self._looked = 0.0

    def decide(self, lease: Lease, points: Mapping[int, float]) -> str | None:
        """Decide whether to prune a trial.

        Args:
            lease: The trial.
            points: Epoch to metric, all that it has reported.

        Returns:
            Why to end it, or None. The other trials are read at the first question about a
            trial, and at most every five seconds after that.
        """
        now = time.monotonic()
        if lease.number not in self._asked or now - self._looked >= _LOOK_SECONDS:
            self._read_others(lease.number)
            self._asked.add(lease.number)
            self._looked = now
        if not self._show(lease.number, points):
            return None
        return f"pruned by {self._kind} after epoch {max(points)}"

    def _read_others(self, own: int) -> None:
        for number, (state, points) in self._store.points(self._key).items():
            self._make_room(number)
            if number != own and number not in self._finished:
                self._show(number, points)
                self._memory.trials[number].state = OptunaState[state.value]
                if state is not TrialState.RUNNING:
                    self._finished.add(number)

    def _show(self, number: int, points: Mapping[int, float]) -> bool:
        """Show new points of a trial to the pruner, in their order.

        Returns:
            The decision at the last of them; False where there is none.
        """
        self._make_room(number)
        trial, said = self._memory.trials[number], False
        trial.state = OptunaState.RUNNING
        for step in sorted(points.keys() - trial.intermediate_values.keys()):
            trial.intermediate_values[step] = points[step]
            said = self._pruner.prune(self._study, trial)
        return said

    def _make_room(self, number: int) -> None:
        trials = self._memory.trials
        while len(trials) <= number:
            # FAIL until a point is known: pruners ignore failed trials.
            trials.append(frozen_trial(len(trials), OptunaState.FAIL))
