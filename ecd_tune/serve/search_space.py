"""The search spaces that the dashboard shows: of all trials, and common to all trials.

The dashboard goes through the trials one by one. Both results depend only on which distributions
there are and how often, since widening a range is associative: the database counts, and what is
merged here are the few different distributions.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ecd_tune.serve.fast_reads import StudySummary
from ecd_tune.store.db.optuna_tables import parse_distribution

__all__ = ["SearchSpace", "merge_spaces"]

SearchSpace = list[tuple[str, BaseDistribution]]


def merge_spaces(summary: StudySummary) -> tuple[SearchSpace, SearchSpace]:
    """Merge the distributions of a study.

    Args:
        summary: What the trials have in common.

    Returns:
        The union, where a parameter that changed its kind is named once for each, and the
        intersection, which has the parameters of one kind that no trial lacks; both by name.
    """
    groups: dict[str, dict[Any, list[BaseDistribution]]] = {}
    counts: dict[str, int] = {}
    for name, text, count in summary.distributions:
        distribution = parse_distribution(text)
        groups.setdefault(name, {}).setdefault(_kind(distribution), []).append(distribution)
        counts[name] = counts.get(name, 0) + count
    union: SearchSpace = []
    intersection: SearchSpace = []
    for name in sorted(groups):
        merged = [(name, reduce(_widen, members)) for members in groups[name].values()]
        union += merged
        if len(merged) == 1 and counts[name] == summary.trials:
            intersection += merged
    return union, intersection


def _kind(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, (FloatDistribution, IntDistribution)):
        return type(distribution), distribution.step, distribution.log
    return type(distribution)


def _widen(a: BaseDistribution, b: BaseDistribution) -> BaseDistribution:
    if isinstance(a, FloatDistribution) and isinstance(b, FloatDistribution):
        low, high = min(a.low, b.low), max(a.high, b.high)
        return FloatDistribution(low, high, step=a.step, log=a.log)
    if isinstance(a, IntDistribution) and isinstance(b, IntDistribution):
        return IntDistribution(min(a.low, b.low), max(a.high, b.high), step=a.step, log=a.log)
    assert isinstance(a, CategoricalDistribution)
    assert isinstance(b, CategoricalDistribution)
    return CategoricalDistribution(tuple(dict.fromkeys(a.choices + b.choices)))
