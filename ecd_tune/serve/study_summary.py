"""The dashboard's summary of all trials of a study, counted by the database, not trial by trial.

The dashboard merges the search spaces trial by trial. Its results depend only on which
distributions there are and how often, because widening a range is associative: only the few
different distributions are merged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState as OptunaState

from ecd_tune.store.db import optuna_tables

__all__ = ["SearchSpace", "merge_spaces", "summarize"]

SearchSpace = list[tuple[str, BaseDistribution]]


def summarize(
    connection: sa.Connection, study_id: int
) -> tuple[SearchSpace, SearchSpace, list[tuple[str, bool]], bool]:
    """Read what the trials of a study have in common; failed ones count for attributes only.

    Args:
        connection: A transaction.
        study_id: Optuna's study id.

    Returns:
        Parameters of one kind that no trial lacks; those of all trials, where one that changed its
        kind is named for each; keys of user attributes, and whether all values are numbers;
        whether a trial has intermediate values.
    """
    trials, params = optuna_tables.trials, optuna_tables.trial_params
    attrs, steps = optuna_tables.trial_user_attributes, optuna_tables.intermediate_values
    mine, kept = trials.c.study_id == study_id, trials.c.state != OptunaState.FAIL
    count = connection.scalar(sa.select(sa.func.count()).select_from(trials).where(mine, kept))
    distributions = connection.execute(
        sa.select(params.c.param_name, params.c.distribution_json, sa.func.count())
        .join(trials)
        .where(mine, kept)
        .group_by(params.c.param_name, params.c.distribution_json)
        .order_by(sa.func.min(params.c.param_id))
    )
    # The first character distinguishes a number from all other JSON values.
    head = sa.func.substr(attrs.c.value_json, 1, 1)
    heads = sa.select(attrs.c.key, head).join(trials).where(mine).group_by(attrs.c.key, head)
    numbers: dict[str, bool] = {}
    for key, first in connection.execute(heads.order_by(attrs.c.key)):
        numbers[key] = numbers.get(key, True) and first in "-0123456789IN"
    any_step = sa.select(steps.c.trial_id).join(trials).where(mine, kept).limit(1)
    spaces = merge_spaces(distributions.all(), count or 0)
    return *spaces, list(numbers.items()), connection.scalar(any_step) is not None


def merge_spaces(distributions: Sequence[Any], trials: int) -> tuple[SearchSpace, SearchSpace]:
    """Merge the distributions of a study.

    Args:
        distributions: Parameter name, distribution as JSON, and in how many trials.
        trials: Number of all trials.

    Returns:
        Intersection and union, as for :func:`summarize`, both by name.
    """
    groups: dict[str, dict[Any, list[BaseDistribution]]] = {}
    counts: dict[str, int] = {}
    for name, text, count in distributions:
        found = optuna_tables.parse_distribution(text)
        kind = type(found), getattr(found, "step", None), getattr(found, "log", None)
        groups.setdefault(name, {}).setdefault(kind, []).append(found)
        counts[name] = counts.get(name, 0) + count
    merged = {name: [reduce(_widen, m) for m in groups[name].values()] for name in sorted(groups)}
    union = [(name, widened) for name, kinds in merged.items() for widened in kinds]
    common = [(n, w) for n, w in union if len(merged[n]) == 1 and counts[n] == trials]
    return common, union


def _widen(a: Any, b: Any) -> Any:
    if isinstance(a, CategoricalDistribution):
        return CategoricalDistribution(tuple(dict.fromkeys(a.choices + b.choices)))
    return type(a)(min(a.low, b.low), max(a.high, b.high), step=a.step, log=a.log)
