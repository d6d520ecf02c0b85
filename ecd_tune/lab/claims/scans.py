"""The scans of §4: how many combinations, and whether the best values are among them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.lab.claims.findings import close_finding
from ecd_tune.lab.claims.printed import Experiment, Printed

__all__ = ["check_best_in_scan", "check_combinations"]


def check_combinations(printed: Printed, *, grid: str) -> list[Finding]:
    """Count the combinations of a scan.

    Args:
        printed: The paper's numbers.
        grid: Name of the scan.

    Returns:
        One finding per optimizer.
    """
    return [
        close_finding(
            name,
            " × ".join(str(len(values)) for values in printed.grids[grid][name].values()),
            stated,
            prod(len(values) for values in printed.grids[grid][name].values()),
        )
        for name, stated in printed.combinations[grid].items()
    ]


def check_best_in_scan(printed: Printed, *, lists: str) -> list[Finding]:
    """Find best values that are not in the scan.

    Args:
        printed: The paper's numbers.
        lists: Section of the appendix that gives the best values.

    Returns:
        One finding per experiment: the number of values outside; the case names them.
    """
    found = []
    for row in printed.experiments:
        if row.lists == lists:
            outside = list(_outside(printed, row))
            case = ", ".join([row.name, *outside])
            found.append(close_finding(case, "best values outside the scan", 0, len(outside)))
    return found


def _outside(printed: Printed, row: Experiment) -> Iterator[str]:
    for name, result in row.results.items():
        grid = printed.grids[row.grid][name]
        for key, value in result.best.items():
            if value not in grid[key]:
                yield f"{name} {key} = {value:g}"
