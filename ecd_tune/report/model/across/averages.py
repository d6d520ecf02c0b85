"""Averages over the rows of the paper's tables, its Table 1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecd_tune.report.model.across.printed import PaperResults

if TYPE_CHECKING:
    from ecd_tune.report.model.across.studies import Cell, TaskRow

__all__ = ["Average", "AverageValue", "average_rows"]


@dataclass(frozen=True)
class AverageValue:
    """The average of one optimizer.

    Attributes:
        ours: From the means of the confirmed runs.
        printed: The paper's Table 1.
        listed: From the means of the runs that its appendix lists.
    """

    ours: float
    printed: float
    listed: float


@dataclass(frozen=True)
class Average:
    """Averages over the compared studies of one protocol, with the weights of Table 1.

    Attributes:
        protocol: ``paper`` or ``clean``.
        oracle: True when every number is a maximum on the split that is also reported.
        values: Optimizer key to average; without those that lack a mean in some row or have two,
            and empty while rows are missing.
        missing: Rows of Tables 2 to 4 of which no study with the paper's settings is compared.
    """

    protocol: str
    oracle: bool
    values: Mapping[str, AverageValue]
    missing: tuple[str, ...]


def average_rows(rows: Sequence[TaskRow], paper: PaperResults) -> tuple[Average, ...]:
    """Average the means of studies as Table 1 does.

    Studies of different protocols, and studies with other settings than the paper's, are not
    mixed with each other.

    Args:
        rows: The compared studies.
        paper: The paper's printed values and their weights.

    Returns:
        One item for each protocol that has a row of Tables 2 to 4.
    """
    usual = [row for row in rows if not row.settings and _experiments(row)]
    kinds = dict.fromkeys((row.protocol, row.oracle) for row in usual)
    return tuple(
        _average([row for row in usual if (row.protocol, row.oracle) == kind], kind, paper)
        for kind in kinds
    )


def _experiments(row: TaskRow) -> set[str]:
    return {cell.printed.experiment for cell in row.cells.values() if cell.printed}


def _average(rows: Sequence[TaskRow], kind: tuple[str, bool], paper: PaperResults) -> Average:
    found = set().union(*map(_experiments, rows))
    missing = tuple(name for name in paper.weights if name not in found)
    values = {
        key: value
        for key, printed in paper.averages.items()
        if not missing
        and (value := _value([r.cells[key] for r in rows if key in r.cells], printed, paper))
    }
    return Average(*kind, values, missing)


def _value(cells: Sequence[Cell], printed: float, paper: PaperResults) -> AverageValue | None:
    known = [
        (cell.printed.experiment, cell.mean, cell.printed.mean)
        for cell in cells
        if cell.printed is not None and cell.mean is not None
    ]
    if Counter(name for name, _, _ in known) != Counter(paper.weights.keys()):
        return None
    return AverageValue(
        math.fsum(paper.weights[name] * mean for name, mean, _ in known),
        printed,
        math.fsum(paper.weights[name] * mean for name, _, mean in known),
    )
