"""Trials that exceeded memory or time, as violated constraints for Optuna's samplers.

Such a trial has failed, and samplers ignore failed trials. The constraint is in Optuna's attribute
``constraints:CAUSE``, 1 where it is violated. TPE ranks a trial that violates one behind all
others, and the Gaussian process learns where it is likely to be violated; the other samplers know
no constraints.
"""

from __future__ import annotations

from collections.abc import Sequence

from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ecd_tune.records import Cause
from ecd_tune.store.sampling.memory import frozen_trial

__all__ = [
    "PREFIX",
    "VIOLATING",
    "constraint_key",
    "knows_constraints",
    "show_violations",
    "violates",
]

PREFIX = "constraints:"
"""Prefix of Optuna's constraint keys in the system attributes of a trial."""
VIOLATING = (Cause.OUT_OF_MEMORY, Cause.TIMEOUT)
"""Causes of failure that depend on the hyperparameters, which samplers should avoid."""
_ANY = f"{PREFIX}limits"


def constraint_key(cause: Cause) -> str:
    """Return the attribute for a failure with this cause."""
    return f"{PREFIX}{cause.value}"


def violates(trial: FrozenTrial) -> bool:
    """Say whether a trial violates a constraint."""
    return any(value > 0 for value in trial.constraints.values())


def knows_constraints(sampler: BaseSampler) -> bool:
    """Return whether a sampler uses constraints."""
    return isinstance(sampler, TPESampler | GPSampler)


def show_violations(
    trials: Sequence[FrozenTrial], sampler: BaseSampler, direction: StudyDirection
) -> list[FrozenTrial]:
    """Return trials in the form in which a sampler uses violated constraints.

    Args:
        trials: The trials to show; those that violate a constraint are failed.
        sampler: One that knows constraints.
        direction: Which value is the worst.

    Returns:
        The same trials. For TPE those that violate one are pruned ones. The Gaussian process
        wants complete ones, and for each the same constraints: they get the worst value of all.
    """
    if isinstance(sampler, TPESampler):
        return [_as(trial, TrialState.PRUNED) if violates(trial) else trial for trial in trials]
    values = [t.value for t in trials if t.state is TrialState.COMPLETE and t.value is not None]
    if not values:
        return list(trials)
    worst = max(values) if direction is StudyDirection.MINIMIZE else min(values)
    return [_with_limit(trial, worst) for trial in trials]


def _with_limit(trial: FrozenTrial, worst: float) -> FrozenTrial:
    if violates(trial):
        return _as(trial, TrialState.COMPLETE, [worst], {_ANY: 1.0})
    if trial.state is TrialState.COMPLETE:
        return _as(trial, trial.state, trial.values, {**trial.system_attrs, _ANY: -1.0})
    return trial


def _as(
    trial: FrozenTrial,
    state: TrialState,
    values: list[float] | None = None,
    system_attrs: dict[str, object] | None = None,
) -> FrozenTrial:
    return frozen_trial(
        trial.number,
        state,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs if system_attrs is None else system_attrs,
        values=values,
    )
