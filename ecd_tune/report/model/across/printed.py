"""The paper's printed values compared with studies, and its Table 5 with fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

__all__ = ["PaperResults", "PrintedValue", "Scaling", "ScalingFit", "ScalingRow", "fit_scaling"]

_LEVEL = 0.95
_FEWEST = 3


@dataclass(frozen=True)
class PrintedValue:
    """An entry of the paper's Tables 2 to 4, in the unit of the study's metric.

    Attributes:
        table: Its source.
        value: As printed.
        listed: The runs that the appendix lists for it.
        experiment: Its row.
    """

    table: str
    value: float
    listed: tuple[float, ...]
    experiment: str

    @property
    def mean(self) -> float:
        """Mean of the listed runs, which is not always what is printed."""
        return math.fsum(self.listed) / len(self.listed)


@dataclass(frozen=True)
class ScalingRow:
    """One row of Table 5.

    Attributes:
        name: The experiment.
        n: Number of parameters, as printed.
        lr: Δt that the paper found.
        eta: η.
        nu: ν.
        study: A study of ours on the same task; empty for none.
        own: Best ``lr``, ``eta`` and ``nu`` of its search, as far as it has them.
    """

    name: str
    n: float
    lr: float
    eta: float
    nu: float
    study: str = ""
    own: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ScalingFit:
    """A straight line through the logarithms of a hyperparameter and of n.

    Attributes:
        name: ``lr``, ``eta`` or ``nu``.
        own: False for the paper's values, True for ours.
        slope: The exponent of n.
        low: Lower end of its 95 % interval (Student's t).
        high: Upper end.
        tasks: How many rows.
    """

    name: str
    own: bool
    slope: float
    low: float
    high: float
    tasks: int


@dataclass(frozen=True)
class Scaling:
    """Table 5.

    Attributes:
        rows: Its rows.
        fits: Where there are at least three values.
    """

    rows: tuple[ScalingRow, ...]
    fits: tuple[ScalingFit, ...]


@dataclass(frozen=True)
class PaperResults:
    """The paper's printed values for the compared studies.

    Attributes:
        values: Study to optimizer key to an entry of Tables 2 to 4.
        settings: Study to the differences of its task from the paper's, in words.
        scaling: Rows of Table 5; none where no study is on one of its tasks.
        weights: Row of Tables 2 to 4 to its weight in Table 1.
        averages: Optimizer key to an entry of Table 1.
    """

    values: Mapping[str, Mapping[str, PrintedValue]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    scaling: tuple[ScalingRow, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    averages: Mapping[str, float] = field(default_factory=dict)


def fit_scaling(rows: Sequence[ScalingRow]) -> Scaling:
    """Fit powers of n to the hyperparameters of Table 5, the paper's and ours.

    Args:
        rows: The rows.

    Returns:
        The rows with a fit for each hyperparameter that three rows have.
    """
    fits = []
    for name in ("lr", "eta", "nu"):
        for own in (False, True):
            points = [(row.n, row.own.get(name) if own else getattr(row, name)) for row in rows]
            known = [(n, value) for n, value in points if value is not None and value > 0]
            if len({n for n, _ in known}) >= _FEWEST:
                fits.append(_fit(name, own, known))
    return Scaling(tuple(rows), tuple(fits))


def _fit(name: str, own: bool, points: Sequence[tuple[float, float]]) -> ScalingFit:
    x, y = np.log(np.array(points)).T
    line = stats.linregress(x, y)
    half = float(stats.t.ppf((1 + _LEVEL) / 2, len(points) - 2)) * float(line.stderr)
    slope = float(line.slope)
    return ScalingFit(name, own, slope, slope - half, slope + half, len(points))
