"""Predictions of a model of the trials when one hyperparameter changes from its best value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecd_tune.analysis.surrogate import Surrogate, fit_surrogate
from ecd_tune.errors import NoResultError
from ecd_tune.records import Params, Scalar, StudyKey, TrialRecord
from ecd_tune.report.model.best import BestHyperparameters
from ecd_tune.space import Choice, Fixed, Float, Int
from ecd_tune.spec import StudySpec

__all__ = ["LEAST_AGREEMENT", "Move", "Sensitivity", "SensitivityRow", "describe_sensitivity"]

LEAST_AGREEMENT = 0.5
"""Rank correlation of the out-of-bag predictions below which nothing is predicted."""
_POINTS = 31
_FACTOR, _SHARE = 3.0, 0.1
"""Change of a value: a factor on a logarithmic range, otherwise a share of its searched range."""


@dataclass(frozen=True)
class Move:
    """A change of one hyperparameter; the others are as in the best trial.

    Attributes:
        by: The change, for example ``"÷3"`` or ``"+0.5"``; empty for another choice.
        value: The new value.
        predicted: Predicted value of the metric; infinite if the model predicts that the trial
            diverges or fails.
    """

    by: str
    value: Scalar
    predicted: float


@dataclass(frozen=True)
class SensitivityRow:
    """How the predicted value depends on one hyperparameter.

    Attributes:
        name: Hyperparameter.
        moves: To a smaller and a larger value, or to every other choice; values that no trial
            covers are left out.
        tolerated: Smallest and largest value up to which the prediction is worse than at the best
            value by at most the error of the model; None for choices.
        values: Values from the smallest to the largest value of the trials; empty for choices.
        predicted: Predicted value of the metric at each of them.
    """

    name: str
    moves: tuple[Move, ...]
    tolerated: tuple[float, float] | None
    values: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class Sensitivity:
    """Predictions around the best trial of one optimizer.

    Attributes:
        optimizer: Key of the optimizer.
        title: As reports print it.
        trials: Trials that the model is fitted to.
        agreement: Rank correlation of the trials with out-of-bag predictions; None without a
            model (too few trials, or all equal).
        error: Mean absolute error of these predictions, as a share of the ranks; None as above.
        at_best: Predicted value at the best trial; None if nothing is predicted.
        rows: One per hyperparameter, the most sensitive first; empty if the agreement is below
            :data:`LEAST_AGREEMENT`.
    """

    optimizer: str
    title: str
    trials: int
    agreement: float | None
    error: float | None
    at_best: float | None
    rows: tuple[SensitivityRow, ...]


def describe_sensitivity(
    spec: StudySpec,
    trials: Mapping[StudyKey, Sequence[TrialRecord]],
    best: Sequence[BestHyperparameters],
) -> Iterator[Sensitivity]:
    """Model each optimizer's search and change its best hyperparameters one at a time.

    Args:
        spec: The study.
        trials: Records by study key; all searches of an optimizer have the same key.
        best: Best trials of the optimizers.

    Yields:
        One entry for each best trial.
    """
    for entry in best:
        records = [r for r in trials.get(spec.key(entry.optimizer), ()) if r.counts]
        try:
            model = fit_surrogate(spec, entry.optimizer, records)
        except NoResultError:
            yield Sensitivity(entry.optimizer, entry.title, len(records), None, None, None, ())
            continue
        told = model.agreement >= LEAST_AGREEMENT
        center = float(model.predict([entry.values])[0])
        yield Sensitivity(
            entry.optimizer,
            entry.title,
            len(records),
            model.agreement,
            model.error,
            model.value_of(center) if told else None,
            tuple(_rows(model, entry.values, center, records)) if told else (),
        )


def _rows(
    model: Surrogate, best: Params, center: float, records: Sequence[TrialRecord]
) -> list[SensitivityRow]:
    found: list[tuple[float, SensitivityRow]] = []
    for name, dimension in model.space.dimensions.items():
        if isinstance(dimension, Fixed) or not dimension.contains(best.get(name)):
            continue  # not searched, not active in the best trial, or out of range
        if isinstance(dimension, Choice):
            points: list[tuple[str, Scalar]] = [
                ("", value) for value in dimension.values if value != best[name]
            ]
            line: tuple[float, ...] = ()
        else:
            seen = [
                float(r.params[name]) for r in records if dimension.contains(r.params.get(name))
            ]
            line = _line(dimension, min(seen), max(seen))
            points = list(_moved(dimension, float(best[name]), min(seen), max(seen)))
        ranks = model.predict([{**best, name: v} for v in (*line, *(v for _, v in points))])
        along, aside = ranks[: len(line)], ranks[len(line) :]
        moves = (
            Move(by, value, model.value_of(float(at)))
            for (by, value), at in zip(points, aside, strict=True)
        )
        row = SensitivityRow(
            name,
            tuple(moves),
            _tolerated(line, along - center, float(best[name]), model.error) if line else None,
            line,
            tuple(model.value_of(float(at)) for at in along),
        )
        found.append((float(max(aside - center, default=-1.0)), row))
    return [row for _, row in sorted(found, key=lambda pair: -pair[0])]


def _line(dimension: Float | Int, low: float, high: float) -> tuple[float, ...]:
    space = np.geomspace if dimension.log else np.linspace
    values = space(low, high, _POINTS)
    if isinstance(dimension, Int):
        return tuple(map(float, np.unique(values.round())))
    # Clipped, because rounding must not exceed the range.
    return tuple(map(float, np.unique(values.clip(low, high))))


def _moved(
    dimension: Float | Int, best: float, low: float, high: float
) -> Iterator[tuple[str, Scalar]]:
    step = _SHARE * (dimension.high - dimension.low)
    step = max(round(step), 1) if isinstance(dimension, Int) else step
    factor = f"{_FACTOR:g}"
    size = f"{float(f'{step:.2g}'):g}"  # two digits, and 1000 rather than 1e+03
    by = (f"÷{factor}", f"×{factor}") if dimension.log else (f"−{size}", f"+{size}")
    to = (best / _FACTOR, best * _FACTOR) if dimension.log else (best - step, best + step)
    for words, value in zip(by, to, strict=True):
        at: float = round(value) if isinstance(dimension, Int) else value
        if low <= at <= high and at != best:
            yield words, at


def _tolerated(
    line: Sequence[float], worse: np.ndarray, best: float, error: float
) -> tuple[float, float]:
    low = high = best
    for value, by in sorted(zip(line, worse, strict=True), reverse=True):
        if value <= best:
            if by > error:
                break
            low = value
    for value, by in zip(line, worse, strict=True):
        if value >= best:
            if by > error:
                break
            high = value
    return low, high
