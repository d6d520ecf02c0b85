"""What panels of relations are made of: groups of runs, predicted lines, equal pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ecd_tune.analysis.checks.floor import find_floor
from ecd_tune.analysis.checks.runs import Sample, StudyTrials
from ecd_tune.report.scatter import Line, Points, ScatterPanel
from ecd_tune.theory import Array

__all__ = [
    "Group",
    "Judged",
    "equal_panel",
    "grid",
    "groups_of",
    "line_of",
    "stationary",
    "usable",
]

Judged = Mapping[str, StudyTrials]
"""For the legend, and the trials that a check judges."""

_PLACES = 60
"""Points of a predicted line."""


class Group(NamedTuple):
    """The runs of one optimizer on one landscape.

    Attributes:
        label: For the legend.
        runs: The runs, at least one.
        depth: F̂min − F0.
        floor: F̂min.
        data: The study that they are of.
    """

    label: str
    runs: Sample
    depth: float
    floor: float
    data: StudyTrials

    def column(self, name: str) -> Array:
        """Return a number of all runs."""
        return self.runs.column(name)

    def points(self, x: Array, y: Array, error: Array | None = None) -> Points:
        """Return the runs as points."""
        bars = () if error is None else tuple(error.tolist())
        return Points(self.label, tuple(x.tolist()), tuple(y.tolist()), bars)


def groups_of(judged: Judged, choose: Callable[[StudyTrials], Sample]) -> list[Group]:
    """Split the runs of each optimizer by landscape, as the checks do.

    Args:
        judged: The trials.
        choose: Which of them take part.

    Returns:
        The groups that have any, by F0.
    """
    found = []
    for label, data in judged.items():
        parts = choose(data).split(lambda run: run.measured.F0, "other F0")
        for offset, runs in sorted(parts.items(), key=lambda part: part[0] or 0.0):
            if len(runs):
                floor = find_floor(data, runs).value
                name = f"{label}, F0 = {offset:g}" if len(parts) > 1 else label
                found.append(Group(name, runs, floor - runs.runs[0].measured.F0, floor, data))
    return found


def usable(data: StudyTrials) -> Sample:
    """Return the trials that went to their end, few of their steps with a hazard."""
    return data.usable()


def stationary(data: StudyTrials) -> Sample:
    """Return those of them that stayed on a plateau, s = 0."""
    return data.usable().stationary()


def grid(values: Sequence[Array], log: bool = False) -> Array:
    """Return places from the smallest to the largest of all values.

    Args:
        values: Arrays, one value at least.
        log: Evenly in the logarithm.

    Returns:
        Sixty places; a tenth to either side of it where there is one value alone.
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
        points: What is measured; nothing is drawn without any.
        tolerance: Relative half width of the band; 0 for none.

    Yields:
        The panel.
    """
    if points:
        x = grid([np.array(group.x) for group in points])
        edges = (x * (1 - tolerance), x * (1 + tolerance)) if tolerance else (None, None)
        line = line_of(x, x, *edges)
        yield ScatterPanel(title, note, x_title, y_title, False, False, tuple(points), line)
