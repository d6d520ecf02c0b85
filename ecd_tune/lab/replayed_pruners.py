"""Compare pruners on the stored curves of a finished study in seconds, without training.

A simulated search takes the trials of the study in a random order. Each epoch returns the stored
metric and takes as long as an epoch of the stored trial. No model is involved. A search is limited
to the trials of the study and does not choose points by earlier results.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState as OptunaState

from ecd_tune.errors import NoResultError
from ecd_tune.records import RunRequest, TrialRecord, TrialState
from ecd_tune.spec import PruningSpec, Rungs, StudySpec, choose_promoted
from ecd_tune.store.db.optuna_tables import to_optuna_direction
from ecd_tune.store.sampling.memory import MemoryStorage, frozen_trial
from ecd_tune.store.sampling.pruners import make_pruner

__all__ = ["LEAST_CURVES", "PrunerReplay", "StoredCurve", "read_curves", "replay_pruner"]

LEAST_CURVES = 10


@dataclass(frozen=True)
class StoredCurve:
    """The part of a stored trial that a simulated search uses.

    Attributes:
        epochs: Evaluated epochs, including 0, the state before training.
        values: Metric after each of them.
        seconds: Duration of an epoch.
        share: Share of the study's trials that are better, from 0 to 1; None if the trial
            diverged.
    """

    epochs: tuple[int, ...]
    values: tuple[float, ...]
    seconds: float
    share: float | None


@dataclass(frozen=True)
class PrunerReplay:
    """One simulated search.

    Attributes:
        best: Share of the study's trials that are better than its best complete trial; 1 if no
            trial is complete.
        epochs: Trained epochs.
        seconds: Simulated time.
        begun: Number of started trials.
        complete: Number of completed trials.
    """

    best: float
    epochs: int
    seconds: float
    begun: int
    complete: int


def read_curves(
    spec: StudySpec, optimizer: str, records: Sequence[TrialRecord]
) -> list[StoredCurve]:
    """Make a table of a study's trials.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        records: Its trials, with curves; trials that count and have not failed are used.

    Returns:
        One entry per trial, by number.

    Raises:
        NoResultError: The study's trials are not trained in epochs or were pruned, or fewer than
            :data:`LEAST_CURVES` have ended.
    """
    name = spec.key(optimizer).name
    done = [r for r in records if r.counts and r.value is not None and len(r.curve.steps) > 1]
    if not spec.learns:
        raise NoResultError(f"{name}: its trials count iterations; only epochs can be pruned")
    if any(record.pruned for record in done):
        raise NoResultError(
            f"{name}: its trials were pruned, and a pruner can only be replayed on whole curves; "
            "use a study without [pruning], preferably a random search"
        )
    if len(done) < LEAST_CURVES:
        raise NoResultError(
            f"{name}: {len(done)} trials have a curve; a replay of pruners needs at least "
            f"{LEAST_CURVES}, preferably 100"
        )
    sign = spec.task_def.direction.sign
    losses = sorted(math.inf if loss is None else loss for loss in (_loss(r, sign) for r in done))
    return [_to_curve(record, _loss(record, sign), losses) for record in done]


def _loss(record: TrialRecord, sign: int) -> float | None:
    complete = record.state is TrialState.COMPLETE and record.value is not None
    return sign * record.value if complete and record.value is not None else None


def _to_curve(record: TrialRecord, loss: float | None, losses: Sequence[float]) -> StoredCurve:
    steps, values = record.curve.steps, record.curve.values
    share = None if loss is None else sum(other < loss for other in losses) / (len(losses) - 1)
    return StoredCurve(steps, values, record.cost.seconds / steps[-1], share)


@dataclass
class _Run:
    """One trial of a simulated search; the curve's first point is before training."""

    number: int
    curve: StoredCurve
    at: int = 0
    promotions: int = 0

    @property
    def epoch(self) -> int:
        return self.curve.epochs[self.at]

    @property
    def ahead(self) -> int:
        """Epochs to the next point."""
        return self.curve.epochs[self.at + 1] - self.epoch

    @property
    def over(self) -> bool:
        return self.at + 1 == len(self.curve.epochs)


class _Policy(Protocol):
    """Decides which trials continue."""

    def next(self) -> _Run | None:
        """Return a started trial that continues now, or None."""

    def leaves(self, run: _Run) -> bool:
        """Return whether a trial stops or pauses; called after each evaluated epoch."""


def replay_pruner(
    spec: StudySpec,
    optimizer: str,
    curves: Sequence[StoredCurve],
    pruning: PruningSpec,
    seed: int,
    epochs: int,
    workers: int = 1,
) -> PrunerReplay:
    """Search the table with simulated workers, until a budget of epochs is used.

    A free worker takes a promoted trial, or otherwise the next one in a random order. Epochs
    that are running when the budget ends are discarded.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        curves: The table.
        pruning: Settings of the pruner.
        seed: Seed of the order.
        epochs: Budget of all trials together.
        workers: Trials that run at the same time.

    Returns:
        The search; it uses less than the budget if all trials end before.
    """
    changed = spec.model_copy(update={"pruning": pruning})
    policy: _Policy = (
        _Halving(changed, optimizer) if pruning.resume else _Stopping(changed, optimizer)
    )
    order = random.Random(seed).sample(range(len(curves)), len(curves))
    running: list[tuple[float, int, _Run]] = []
    begun = used = complete = turn = 0
    clock, best = 0.0, 1.0
    while True:
        while len(running) < workers:
            run = policy.next()
            if run is None and begun < len(order):
                run = _Run(begun, curves[order[begun]])
                begun += 1
            if run is None:
                break
            turn = _push(running, clock, turn, run)
        if not running or used + running[0][2].ahead > epochs:
            return PrunerReplay(best, used, clock, begun, complete)
        clock, _, run = heapq.heappop(running)
        used += run.ahead
        run.at += 1
        if run.over and run.curve.share is not None:
            best, complete = min(best, run.curve.share), complete + 1
        if not policy.leaves(run) and not run.over:
            turn = _push(running, clock, turn, run)


def _push(running: list[tuple[float, int, _Run]], clock: float, turn: int, run: _Run) -> int:
    heapq.heappush(running, (clock + run.ahead * run.curve.seconds, turn, run))
    return turn + 1


class _Stopping:
    """Ends trials permanently with Optuna's pruners, which are called as by a worker."""

    def __init__(self, spec: StudySpec, optimizer: str) -> None:
        name, direction = spec.key(optimizer).name, to_optuna_direction(spec.task_def.direction)
        self._memory, self._pruner = MemoryStorage(name, direction), make_pruner(spec)
        self._study = optuna.load_study(
            study_name=name, storage=self._memory, sampler=RandomSampler(), pruner=self._pruner
        )

    def next(self) -> _Run | None:
        return None

    def leaves(self, run: _Run) -> bool:
        trials = self._memory.trials
        while len(trials) <= run.number:
            trials.append(frozen_trial(len(trials), OptunaState.RUNNING))
        trial = trials[run.number]
        trial.intermediate_values[run.epoch] = run.curve.values[run.at]
        if run.over:
            complete = run.curve.share is not None
            trial.state = OptunaState.COMPLETE if complete else OptunaState.PRUNED
            return True
        if not self._pruner.prune(self._study, trial):
            return False
        trial.state = OptunaState.PRUNED
        return True


@dataclass
class _RungState:
    """Trials that have reached a rung, and those that were promoted there."""

    losses: dict[int, float] = field(default_factory=dict)
    promoted: set[int] = field(default_factory=set)


class _Halving:
    """Pauses trials at rungs and promotes the best, as the store does."""

    def __init__(self, spec: StudySpec, optimizer: str) -> None:
        self._rungs, self._key = Rungs(spec, optimizer), spec.key(optimizer)
        self._sign, self._reduction = spec.task_def.direction.sign, spec.pruning.reduction
        self._spec, self._optimizer = spec, optimizer
        self._states: dict[tuple[int, int], _RungState] = {}
        self._paused: dict[int, _Run] = {}
        self._promoted: list[_Run] = []

    def next(self) -> _Run | None:
        while self._promoted:
            run = self._promoted.pop(0)
            if not run.over:
                return run
            self.leaves(run)  # it diverged in the next epoch
        return None

    def leaves(self, run: _Run) -> bool:
        seed = self._spec.search_seed(run.number, self._optimizer)
        bracket = self._rungs.bracket(self._key, RunRequest({}, seed))
        until = self._rungs.until(bracket, run.promotions)
        if until is None:
            return run.over
        reached = run.epoch >= until
        if not reached and not run.over:
            return False
        state = self._states.setdefault((bracket, run.promotions), _RungState())
        # The evaluated epochs so far, without the state before training.
        loss = min(self._sign * value for value in run.curve.values[1 : run.at + 1])
        state.losses[run.number] = loss if reached else math.inf
        self._paused[run.number] = run
        for number in choose_promoted(state.losses, state.promoted, self._reduction):
            state.promoted.add(number)
            chosen = self._paused[number]
            chosen.promotions += 1
            self._promoted.append(chosen)
        return True
