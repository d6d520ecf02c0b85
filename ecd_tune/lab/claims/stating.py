"""Short forms of statements, by what decides about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.lab.claims.deciders import (
    ByFormula,
    ByNumbers,
    ByStudy,
    BySystems,
    Untested,
)
from ecd_tune.lab.claims.model import Statement
from ecd_tune.lab.claims.printed import Printed

__all__ = ["by_formula", "by_numbers", "by_study", "by_systems", "untested"]


def by_systems(text: str, *checks: str) -> Statement:
    """State what checks of exact systems decide.

    Args:
        text: The claim.
        *checks: Their ids.

    Returns:
        The statement.
    """
    return Statement(text, BySystems(checks))


def by_study(text: str, check: str, study: str) -> Statement:
    """State what a check of a recorded study decides.

    Args:
        text: The claim.
        check: Its id.
        study: Name of the study.

    Returns:
        The statement.
    """
    return Statement(text, ByStudy(check, study))


def by_formula(text: str, rule: str, compute: Callable[[], Sequence[Finding]]) -> Statement:
    """State what the paper's formulas decide.

    Args:
        text: The claim.
        rule: The decision rule in words.
        compute: The calculation.

    Returns:
        The statement.
    """
    return Statement(text, ByFormula(compute, rule))


def by_numbers(text: str, rule: str, compute: Callable[[Printed], Sequence[Finding]]) -> Statement:
    """State what the paper's printed numbers decide.

    Args:
        text: The claim.
        rule: The decision rule in words.
        compute: The calculation.

    Returns:
        The statement.
    """
    return Statement(text, ByNumbers(compute, rule))


def untested(text: str, reason: str) -> Statement:
    """State what nothing here decides.

    Args:
        text: The claim.
        reason: Why not, and what would; a sentence.

    Returns:
        The statement.
    """
    return Statement(text, Untested(reason))
