"""Parts of relation panels: groups of runs, predicted lines, equal pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from ecd_tune.analysis.checks.floor import Floor, landscapes
from ecd_tune.analysis.checks.runs import Sample, StudyTrials
from ecd_tune.report.model.relations.panels import Line, Points, ScatterPanel
from ecd_tune.theory import Array

__all__ = [
    "Drawn",
    "Group",
    "equal_panel",
    "grid",
    "groups_of",
    "line_of",
    "points_of",
]

Drawn = Sequence[tuple[str, StudyTrials]]
"""For the legend, and the trials that a check used."""

_PLACES = 60
"""Points of a predicted line."""


class Group(NamedTuple):
    """The runs of one optimizer on one landscape.

    Attributes:
        label: For the legend.
        runs: The runs, at least one.
        floor: The lowest loss.
    """

    label: str
    runs: Sample
    floor: Floor

    @property
    def depth(self) -> float:
        """F̂min − F0."""
        return self.floor.value - self.runs.runs[0].measured.F0

    def column(self, name: str) -> Array:
        """Return a number of all runs."""
        return self.runs.column(name)

    def gaps(self) -> Array:
        """Return F − F̂min of all runs."""
        return self.floor.gaps(self.runs)

    def points(self, x: Array, y: Array, error: Array | None = None) -> Points:
        """Return the runs as points."""
        return points_of(self.label, x, y, error)


def groups_of(
    drawn: Drawn,
    choose: Callable[[StudyTrials], Sample],
    part: Callable[[StudyTrials, Sample], tuple[Sample, Floor]],
) -> list[Group]:
    """Split the runs of each optimizer by landscape.

    Args:
        drawn: The trials.
        choose: The selected trials.
        part: From those of a landscape to those that a check relates, and their lowest loss.

    Returns:
        The groups that have any.
    """
    found = []
    for label, data in drawn:
        for case, sample in sorted(landscapes(choose(data)), key=itemgetter(0)):
            runs, floor = part(data, sample) if len(sample) else (sample, None)
            if floor is not None and len(runs):
                found.append(Group(f"{label}, {case}" if case else label, runs, floor))
    return found


def points_of(label: str, x: Array, y: Array, error: Array | None = None) -> Points:
    """Return points as plain numbers, with bars where there are errors."""
    bars = () if error is None else tuple(error.tolist())
    return Points(label, tuple(x.tolist()), tuple(y.tolist()), bars)


def grid(values: Sequence[Array], log: bool = False) -> Array:
    """Return places from the smallest to the largest of all values.

    Args:
        values: Arrays, one value at least.
        log: Evenly in the logarithm.

    Returns:
        Sixty points; a tenth to either side for a single value.
    """
    every = np.concatenate(values)
    low, high = every.min(), every.max()
    if high - low <= 1e-9 * abs(high):
        low, high = 0.9 * low, 1.1 * high
    space = np.geomspace if log else np.linspace
    return np.asarray(space(low, high, _PLACES), dtype=np.float64)


def line_of(x: Array, y: Array, low: Array | None = None, high: Array | None = None) -> Line:
    """Return a predicted line.

    Args:
        x: Places.
        y: Predicted values.
        low: Lower edge of the band, or None.
        high: Upper edge, or None.

    Returns:
        The line.
    """
    edges = (() if edge is None else tuple(edge.tolist()) for edge in (low, high))
    return Line(tuple(x.tolist()), tuple(y.tolist()), *edges)


def equal_panel(
    title: str,
    note: str,
    x_title: str,
    y_title: str,
    points: Sequence[Points],
    tolerance: float = 0.0,
) -> Iterator[ScatterPanel]:
    """Draw what is predicted to be equal.

    Args:
        title: As of the panel.
        note: As of the panel.
        x_title: As of the panel.
        y_title: As of the panel.
        points: The measurements; without any, nothing is drawn.
        tolerance: Relative half width of the band; 0 for none.

    Yields:
        The panel.
    """
    if points:
        x = grid([np.array(group.x) for group in points])
        edges = (x * (1 - tolerance), x * (1 + tolerance)) if tolerance else (None, None)
        line = line_of(x, x, *edges)
        yield ScatterPanel(title, note, x_title, y_title, False, False, tuple(points), line)
