"""Which optimizer is ahead: printed differences against the noise of the paper's listed runs.

Runs cannot be paired by seed, since many lists are printed in descending order; so means are
compared as Welch does. Intervals of several comparisons in one claim are simultaneous
(Bonferroni): together they have the level 95 %.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

from ecd_tune.analysis.checks.model import Finding, Verdict
from ecd_tune.analysis.checks.rules import range_verdict
from ecd_tune.lab.claims.findings import contrast, order_finding
from ecd_tune.lab.claims.printed import Experiment, Printed
from ecd_tune.lab.claims.tables import average_terms, weigh_runs

__all__ = ["check_average_lead", "check_lead", "check_leads", "check_no_gaps", "check_reported"]

OURS = "ECDSep"
_LEVEL = 0.95


def _level(comparisons: int) -> float:
    return 1 - (1 - _LEVEL) / comparisons


def check_lead(
    printed: Printed, *, optimizer: str, over: str, experiments: tuple[str, ...]
) -> list[Finding]:
    """Ask whether one optimizer is ahead of another, as printed.

    Args:
        printed: The paper's numbers.
        optimizer: The optimizer that is claimed to be ahead.
        over: The other one.
        experiments: Rows.

    Returns:
        One finding per row.
    """
    level = _level(len(experiments))
    return [_lead(printed.experiment(name), optimizer, over, level) for name in experiments]


def check_leads(printed: Printed, *, table: str) -> list[Finding]:
    """Test whether ECDSep compares to the best other optimizer as printed.

    Args:
        printed: The paper's numbers.
        table: Whose rows to take.

    Returns:
        One finding per row.
    """
    rows = printed.of_table(table)
    return [_lead(row, OURS, _best_other(row), _level(len(rows))) for row in rows]


def _best_other(row: Experiment) -> str:
    others = [name for name in row.results if name != OURS]
    return max(others, key=lambda name: row.results[name].mean.value)


def _lead(row: Experiment, first: str, second: str, level: float) -> Finding:
    ours, theirs = row.results[first], row.results[second]
    difference = round(ours.mean.value - theirs.mean.value, 2)
    listed = contrast([(1.0, ours.runs), (-1.0, theirs.runs)])
    return order_finding(row.name, f"{first} − {second}", difference, listed, level)


def check_average_lead(printed: Printed) -> list[Finding]:
    """Ask whether ECDSep has the highest average, Table 1, beyond the noise of the runs.

    Args:
        printed: The paper's numbers.

    Returns:
        One finding another optimizer.
    """
    others = [name for name in printed.average if name != OURS]
    found = []
    for name in others:
        difference = round(printed.average[OURS].value - printed.average[name].value, 2)
        listed = weigh_runs(average_terms(printed), OURS, name)
        statistic = f"{OURS} − {name}"
        found.append(order_finding("Table 1", statistic, difference, listed, _level(len(others))))
    return found


def check_no_gaps(printed: Printed, *, experiment: str) -> list[Finding]:
    """Test whether any two optimizers differ significantly in the listed runs of one row.

    Args:
        printed: The paper's numbers.
        experiment: The row.

    Returns:
        One finding per pair: supported where they do not, refuted where they do.
    """
    row = printed.experiment(experiment)
    pairs = list(combinations(row.results, 2))
    found = []
    for first, second in pairs:
        gap = replace(_lead(row, first, second, _level(len(pairs))), predicted=0.0)
        assert gap.low is not None
        assert gap.high is not None
        told_apart = gap.low > 0 or gap.high < 0
        verdict = Verdict.REFUTED if told_apart else Verdict.SUPPORTED
        found.append(replace(gap, verdict=verdict))
    return found


def check_reported(printed: Printed) -> list[Finding]:
    """Ask whether SGD on CIFAR-100 does better than reference [16] of the paper reports.

    Args:
        printed: The paper's numbers.

    Returns:
        One finding.
    """
    sgd = printed.experiment("CIFAR-100").results["SGD"]
    reported = printed.reported["sgd_cifar100"].value
    listed = contrast([(1.0, sgd.runs)])
    found = listed.interval(_LEVEL)
    verdict = range_verdict(found.low, found.high, reported, math.inf)
    return [
        Finding(
            "CIFAR-100, SGD", "mean of the list in B.2", reported, listed.value,
            found.low, found.high, verdict, listed.runs, sense=">",
        )
    ]  # fmt: skip
