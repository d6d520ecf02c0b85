"""How much each searched hyperparameter matters for being among the best trials."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ecd_tune.analysis.select import rank_trials
from ecd_tune.records import Direction, StudyKey, TrialRecord
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.space import Choice, Dimension, Float, Int
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["rank_hyperparameters"]

_ENOUGH = 20
"""Complete trials from which on importances are estimated."""
_TREES, _DEPTH = 16, 8
"""Of fANOVA's forest. Optuna's 64 and 64 take 8 s for 500 trials, these 0.6 s; shares move by a few
hundredths."""


def rank_hyperparameters(
    spec: StudySpec, trials: Mapping[StudyKey, Sequence[TrialRecord]]
) -> Iterator[SearchedParam]:
    """Rank the searched hyperparameters of each optimizer by PED-ANOVA, with fANOVA.

    Args:
        spec: The study.
        trials: Records by study key.

    Yields:
        The search spaces by optimizer, the most important dimension first; in the space's order if
        there are too few trials.
    """
    for key, optimizer in spec.optimizers.items():
        searched = {
            name: dimension
            for name, dimension in optimizer.space.dimensions.items()
            if isinstance(dimension, (Float, Int, Choice))
        }
        complete = rank_trials(trials.get(spec.key(key), ()), spec.task_def.direction)
        found, fanova = _importances(complete, searched, spec.task_def.direction)
        for name in sorted(searched, key=lambda n: -found.get(n, 0.0)):
            log = getattr(searched[name], "log", False)
            good = _good(complete, name) if _has_numbers(searched[name]) else None
            share = _share(searched[name], good)
            yield SearchedParam(key, name, log, found.get(name), fanova.get(name), good, share)


def _has_numbers(dimension: Dimension) -> bool:
    """Return whether all values are numbers, so that the best have a smallest and a largest."""
    choices = dimension.values if isinstance(dimension, Choice) else ()
    return not any(isinstance(choice, (str, bool)) for choice in choices)


def _good(ranked: Sequence[TrialRecord], name: str) -> tuple[float, float] | None:
    values = [r.params.get(name) for r in ranked[: len(ranked) // 10]]
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    if len(ranked) < _ENOUGH or len(numbers) < len(values):
        return None
    return min(numbers), max(numbers)


def _share(dimension: Dimension, good: tuple[float, float] | None) -> float | None:
    """Return which share of a searched range the good values span."""
    if good is None or not isinstance(dimension, (Float, Int)):
        return None
    ends = (float(dimension.low), float(dimension.high))
    # Zero, below a logarithmic range, counts as its low end.
    inside = [min(max(value, ends[0]), ends[1]) for value in good]
    if dimension.log:
        ends, inside = (math.log(ends[0]), math.log(ends[1])), [math.log(v) for v in inside]
    return (inside[1] - inside[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else None


def _importances(
    records: Sequence[TrialRecord], searched: Mapping[str, Dimension], direction: Direction
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return what PED-ANOVA and fANOVA find, or nothing where there are too few trials."""
    if len(records) < _ENOUGH or len(searched) < 2:
        return {}, {}
    # They take a while to load, and only reports of complete searches need them.
    import optuna
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
    from optuna.importance import get_param_importances as weigh

    usable = _to_optuna(records, searched)
    if len(usable) < _ENOUGH:
        return {}, {}
    told = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a new study would print a line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # Fixed first trials leave out what they do not set: too few to be compared.
            warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
            study = optuna.create_study(direction=direction.value)
            study.add_trials(usable)
            order = [t.number for t in sorted(study.trials, key=lambda t: t.value or 0.0)]
            rank = {number: float(place) for place, number in enumerate(order)}
            # Of ranks: one loss of 1e30 would be all of the variance of the values.
            forest = FanovaImportanceEvaluator(n_trees=_TREES, max_depth=_DEPTH, seed=0)
            return weigh(study, evaluator=PedAnovaImportanceEvaluator()), weigh(
                study, evaluator=forest, target=lambda trial: rank[trial.number]
            )
    finally:
        optuna.logging.set_verbosity(told)


def _to_optuna(
    records: Sequence[TrialRecord], searched: Mapping[str, Dimension]
) -> list[FrozenTrial]:
    """Return the trials inside the space."""
    import optuna

    from ecd_tune.store.db.optuna_tables import to_distribution

    found = {name: to_distribution(dimension) for name, dimension in searched.items()}
    distributions = {name: d for name, d in found.items() if d is not None}
    return [
        optuna.create_trial(
            value=record.value,
            params={n: v for n, v in record.params.items() if n in searched},
            distributions={n: d for n, d in distributions.items() if n in record.params},
        )
        for record in records
        if all(searched[n].contains(v) for n, v in record.params.items() if n in searched)
    ]
