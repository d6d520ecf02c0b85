"""Optuna's pruners by name."""

from __future__ import annotations

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from ecd_tune.records import Stage
from ecd_tune.spec import StudySpec

__all__ = ["make_pruner"]


def make_pruner(spec: StudySpec) -> BasePruner:
    """Build the pruner of a study, which ends trials permanently.

    Args:
        spec: The study.

    Returns:
        Optuna's pruner; ``NopPruner`` for a study without pruning.
    """
    pruning = spec.pruning
    if pruning.kind == "none":
        return NopPruner()
    if pruning.kind == "median":
        return MedianPruner(
            n_startup_trials=pruning.startup_trials,
            n_warmup_steps=pruning.warmup,
            interval_steps=pruning.interval,
            n_min_trials=pruning.least_trials,
        )
    if pruning.kind == "successive_halving":
        return SuccessiveHalvingPruner(pruning.least_epochs, pruning.reduction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return HyperbandPruner(
            min_resource=pruning.least_epochs,
            max_resource=spec.steps(Stage.SEARCH),
            reduction_factor=pruning.reduction,
        )
