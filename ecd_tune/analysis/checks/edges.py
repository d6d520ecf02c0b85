"""S12: whether the best values are inside the searched ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecd_tune.analysis.checks.assess import Need, Prediction, assess, too_few
from ecd_tune.analysis.checks.fits import share
from ecd_tune.analysis.checks.model import Check, Finding, Relation, Subject
from ecd_tune.analysis.checks.runs import Sample, StudyTrials
from ecd_tune.records import Scalar
from ecd_tune.space import Choice, Dimension, Fixed, Float, Int
from ecd_tune.theory import Array

__all__ = ["CHECKS", "place_in_range"]

_BEST, _BEST_SHARE, _OUTER, _LEAST = 8, 0.1, 0.2, 40
_LEVELS = 3
"""Values that a list of numbers needs to have an inside."""


def _check_edges(data: StudyTrials) -> list[Finding]:
    sample = data.finished()
    space = data.spec.optimizers[data.optimizer].space
    return [
        _assess_dimension(data, sample, name, dimension)
        for name, dimension in space.dimensions.items()
        if _ordered(dimension)
    ]


def _ordered(dimension: Dimension) -> bool:
    if isinstance(dimension, Choice):
        numbers = all(type(value) in (int, float) for value in dimension.values)
        return numbers and len(dimension.values) >= _LEVELS
    return not isinstance(dimension, Fixed)


def _assess_dimension(
    data: StudyTrials, sample: Sample, name: str, dimension: Dimension
) -> Finding:
    claim = Prediction("share of best trials at one end", 0.5, 0.0, 0.5, "<")
    active = sample.keep(f"{name} not in use", lambda run: name in run.record.params)
    case = f"{name} in {dimension.describe()}"
    lack = too_few(claim, active, [Need("trials", len(active), _LEAST)], case)
    if lack is not None:
        return lack
    ranked = sorted(active, key=lambda run: (run.loss_score(data.direction), run.record.number))
    best = ranked[: max(_BEST, round(_BEST_SHARE * len(ranked)))]
    places = place_in_range(dimension, [run.record.params[name] for run in best])
    low, high = int(np.sum(places <= _OUTER)), int(np.sum(places >= 1 - _OUTER))
    # Below a range whose low end means 0 there is nothing to search.
    end, count = ("low", low) if low >= high and not _reaches_zero(dimension) else ("high", high)
    note = f"a limit of {name}" if _ends_itself(data, name, dimension, end) else ""
    return assess(claim, active, share(count, len(places)), f"{case}, {end} end", note)


def _reaches_zero(dimension: Dimension) -> bool:
    return isinstance(dimension, Float) and dimension.zero is not None


def _ends_itself(data: StudyTrials, name: str, dimension: Dimension, end: str) -> bool:
    declared = data.spec.optimizers[data.optimizer].searchable[name]
    low, high = _ends(dimension)
    return low <= declared.low if end == "low" else high >= declared.high


def _ends(dimension: Dimension) -> tuple[float, float]:
    if isinstance(dimension, (Float, Int)):
        return float(dimension.low), float(dimension.high)
    numbers = [float(value) for value in dimension.bounds()]
    return min(numbers), max(numbers)


def place_in_range(dimension: Dimension, values: Sequence[Scalar]) -> Array:
    """Return the positions of values in a dimension, from 0 at its low end to 1 at its high end.

    Args:
        dimension: A range, or a list of numbers.
        values: In it.

    Returns:
        The places: logarithmic for a logarithmic range, by rank in a list.
    """
    x = np.array(values, dtype=float)
    if isinstance(dimension, Choice):
        steps = np.sort(np.array(dimension.values, dtype=float))
        return np.asarray(np.searchsorted(steps, x) / (len(steps) - 1))
    ends = np.array(_ends(dimension))
    if isinstance(dimension, (Float, Int)) and dimension.log:
        x, ends = np.log(x), np.log(ends)
    return np.asarray((x - ends[0]) / (ends[1] - ends[0]))


CHECKS = (
    Check(
        "S12",
        Relation("the best values are inside the searched ranges", "§4, search spaces"),
        "for each range and each list of at least 3 numbers: of the best tenth of the trials, at "
        "least 8, less than half are in the fifth of the range at one end, 95 % interval (exact "
        "binomial); at least 40 trials",
        _check_edges,
        Subject.STUDY,
    ),
)
