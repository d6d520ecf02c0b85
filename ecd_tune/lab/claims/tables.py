"""Tables 1 to 4 against the paper's own lists of runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.lab.claims.findings import Contrast, close_finding, contrast, rounding_finding
from ecd_tune.lab.claims.printed import Experiment, Printed, Result

__all__ = [
    "Weighted",
    "average_terms",
    "check_averages",
    "check_averages_from_runs",
    "check_means",
    "check_repeats",
    "glue_terms",
    "weigh_runs",
]

Weighted = Sequence[tuple[float, Experiment]]
"""Rows and their weights in an average."""
_GLUE = "Table 4"


def check_means(printed: Printed, *, experiment: str) -> list[Finding]:
    """Compare the entries of one row with the means of the listed runs.

    Args:
        printed: The paper's numbers.
        experiment: The row.

    Returns:
        One finding per optimizer.
    """
    row = printed.experiment(experiment)
    return [
        rounding_finding(
            f"{row.name}, {name}",
            f"mean of the list in {row.lists}",
            result.mean,
            float(np.mean(result.runs)),
            len(result.runs),
            f"sd {np.std(result.runs, ddof=1):.2g}, {_distance(result)}",
        )
        for name, result in row.results.items()
    ]


def _distance(result: Result) -> str:
    """Return the distance of the entry from the mean of its list, in units of its last digit."""
    unit = 2 * result.mean.half_unit
    units = abs(result.mean.value - float(np.mean(result.runs))) / unit
    return f"{units:.3g} units of the last digit off"


def check_repeats(printed: Printed) -> list[Finding]:
    """Compare the number of listed runs with the number of repeats that §4 states.

    Args:
        printed: The paper's numbers.

    Returns:
        One finding per experiment; measured is the length of a list that is farthest from it.
    """
    found = []
    for row in printed.experiments:
        lengths = [len(result.runs) for result in row.results.values()]
        farthest = max(lengths, key=lambda length: abs(length - row.repeats))
        found.append(close_finding(row.name, "runs an optimizer", row.repeats, farthest))
    return found


def glue_terms(printed: Printed) -> Weighted:
    """Return the rows of Table 4 with equal weights."""
    rows = printed.of_table(_GLUE)
    return [(1 / len(rows), row) for row in rows]


def average_terms(printed: Printed) -> Weighted:
    """Return all rows with their weights in Table 1, where Table 4 counts as one row."""
    rows = [row for row in printed.experiments if row.table != _GLUE]
    share = 1 / (len(rows) + 1)
    return [(share, row) for row in rows] + [(share * w, row) for w, row in glue_terms(printed)]


def weigh_runs(terms: Weighted, optimizer: str, other: str | None = None) -> Contrast:
    """Return an optimizer's average over rows, or its lead over another one, from listed runs.

    Args:
        terms: Rows and weights.
        optimizer: Whose runs count.
        other: Whose runs are subtracted.

    Returns:
        The average with the noise of the runs.
    """
    signs = [(1.0, optimizer)] + ([(-1.0, other)] if other else [])
    return contrast(
        [(sign * weight, row.results[name].runs) for weight, row in terms for sign, name in signs]
    )


def check_averages(printed: Printed, *, column: str) -> list[Finding]:
    """Compare averages with the means of the printed entries.

    Args:
        printed: The paper's numbers.
        column: ``"average"``, Table 1: of the rows of Tables 2 and 3 and of Table 4's average; or
            ``"average_glue"``, the last column of Table 4: of its rows.

    Returns:
        One finding per optimizer.
    """
    found, glue = [], column == "average_glue"
    rows = [row for row in printed.experiments if (row.table == _GLUE) is glue]
    for name, average in getattr(printed, column).items():
        entries = [row.results[name].mean for row in rows]
        entries += [] if glue else [printed.average_glue[name]]
        exact = float(np.mean([entry.value for entry in entries]))
        statistic = f"mean of {len(entries)} printed entries"
        found.append(rounding_finding(name, statistic, average, exact, len(entries)))
    return found


def check_averages_from_runs(printed: Printed, *, column: str) -> list[Finding]:
    """Compare averages with those of the listed runs.

    Args:
        printed: The paper's numbers.
        column: As of :func:`check_averages`.

    Returns:
        One finding per optimizer.
    """
    terms = glue_terms(printed) if column == "average_glue" else average_terms(printed)
    found = []
    for name, average in getattr(printed, column).items():
        listed = weigh_runs(terms, name)
        note = f"standard error {listed.error:.2g}"
        statistic = "mean of the rows' listed means"
        found.append(rounding_finding(name, statistic, average, listed.value, listed.runs, note))
    return found
