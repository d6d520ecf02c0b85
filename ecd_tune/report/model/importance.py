"""How much each searched hyperparameter matters for being among the best trials."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence

from ecd_tune.analysis.select import rank_trials
from ecd_tune.records import Direction, StudyKey, TrialRecord
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.space import Choice, Dimension, Float, Int
from ecd_tune.spec import StudySpec

__all__ = ["rank_hyperparameters"]

_ENOUGH = 20
"""Complete trials from which on importances are estimated."""


def rank_hyperparameters(
    spec: StudySpec, trials: Mapping[StudyKey, Sequence[TrialRecord]]
) -> Iterator[SearchedParam]:
    """Rank the searched hyperparameters of each optimizer by PED-ANOVA.

    Args:
        spec: The study.
        trials: Records by study key.

    Yields:
        What was searched, optimizer by optimizer, the most important first; in the space's order
        where there are too few trials to tell.
    """
    for key, optimizer in spec.optimizers.items():
        searched = {
            name: dimension
            for name, dimension in optimizer.space.dimensions.items()
            if isinstance(dimension, (Float, Int, Choice))
        }
        complete = rank_trials(trials.get(spec.key(key), ()), spec.task_def.direction)
        found = _importances(complete, searched, spec.task_def.direction)
        for name in sorted(searched, key=lambda n: -found.get(n, 0.0)):
            log = getattr(searched[name], "log", False)
            good = _good(complete, name)
            yield SearchedParam(key, name, log, found.get(name), good)


def _good(ranked: Sequence[TrialRecord], name: str) -> tuple[float, float] | None:
    values = [r.params.get(name) for r in ranked[: len(ranked) // 10]]
    numbers = [float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(ranked) < _ENOUGH or len(numbers) < len(values):
        return None
    return min(numbers), max(numbers)


def _importances(
    records: Sequence[TrialRecord], searched: Mapping[str, Dimension], direction: Direction
) -> dict[str, float]:
    if len(records) < _ENOUGH or len(searched) < 2:
        return {}
    # They take a while to load, and only reports of complete searches need them.
    import optuna
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    from ecd_tune.store.db.optuna_tables import to_distribution

    found = {name: to_distribution(dimension) for name, dimension in searched.items()}
    distributions = {name: d for name, d in found.items() if d is not None}
    usable = [
        optuna.create_trial(
            value=record.value,
            params={n: v for n, v in record.params.items() if n in searched},
            distributions={n: d for n, d in distributions.items() if n in record.params},
        )
        for record in records
        if all(searched[n].contains(v) for n, v in record.params.items() if n in searched)
    ]
    if len(usable) < _ENOUGH:
        return {}
    told = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a new study would print a line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # Fixed first trials leave out what they do not set: too few to be compared.
            warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
            study = optuna.create_study(direction=direction.value)
            study.add_trials(usable)
            return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    finally:
        optuna.logging.set_verbosity(told)
