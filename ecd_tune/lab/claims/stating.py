"""Statements, by their test: checks, a calculation, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ecd_tune.analysis.checks.model import Finding, Verdict, combine
from ecd_tune.lab.claims.model import Decision, Evidence, RecordedResult, Statement, StatementResult
from ecd_tune.lab.claims.printed import Printed

__all__ = ["by_formula", "by_numbers", "by_study", "by_systems", "untested"]


def by_systems(text: str, *checks: str) -> Statement:
    """State what checks of exact systems decide, all of which must be supported.

    Args:
        text: The claim.
        *checks: Their ids, for example ``"C04"``.

    Returns:
        The statement.
    """
    return Statement(
        text,
        lambda evidence: _combine({name: evidence.find(name) for name in checks}),
        tuple((name, "results/theory/systems.md#verdicts-by-check") for name in checks),
        systems=checks,
    )


def by_study(text: str, check: str, study: str) -> Statement:
    """State what a check of a recorded study in ``studies/theory`` decides.

    Args:
        text: The claim.
        check: Its id, for example ``"S1"``; its negative controls are another claim.
        study: Name of the study.

    Returns:
        The statement.
    """
    name = f"{check} on {study}"

    def evaluate(evidence: Evidence) -> StatementResult:
        given = evidence.find(check, study)
        return _combine({name: [g for g in given if g.result.expects is Verdict.SUPPORTED]})

    return Statement(text, evaluate, ((name, f"../studies/theory/{study}.toml"),))


def by_formula(text: str, rule: str, compute: Callable[[], Sequence[Finding]]) -> Statement:
    """State what the paper's formulas decide.

    Args:
        text: The claim.
        rule: The decision rule in words.
        compute: Returns findings, all of which must hold.

    Returns:
        The statement.
    """
    return Statement(text, lambda _: _decide(compute()), (("formulas", _source(compute)),), rule)


def by_numbers(text: str, rule: str, compute: Callable[[Printed], Sequence[Finding]]) -> Statement:
    """State what the numbers that the paper prints decide.

    Args:
        text: The claim.
        rule: The decision rule in words.
        compute: From the numbers to findings, all of which must hold.

    Returns:
        The statement.
    """
    links = (("printed numbers", _source(compute)),)
    return Statement(text, lambda evidence: _decide(compute(evidence.printed)), links, rule)


def untested(text: str, reason: str) -> Statement:
    """State what nothing here decides.

    Args:
        text: The claim.
        reason: Why not, and what would; a sentence.

    Returns:
        The statement.
    """
    return Statement(text, lambda _: StatementResult(Decision.NOT_TESTED, remark=reason))


def _source(compute: Callable[..., Any]) -> str:
    function = compute.func if isinstance(compute, partial) else compute
    return f"../{function.__module__.replace('.', '/')}.py"


def _decide(findings: Sequence[Finding]) -> StatementResult:
    verdict = combine([finding.verdict for finding in findings])
    return StatementResult(Decision(verdict), tuple(findings))


def _combine(found: dict[str, list[RecordedResult]]) -> StatementResult:
    missing = [name for name, given in found.items() if not given]
    if missing:
        return StatementResult(
            Decision.NO_RESULT, remark=f"no result of {', '.join(missing)} was given"
        )
    given = [entry for entries in found.values() for entry in entries]
    verdict = combine([entry.result.verdict for entry in given])
    findings = tuple(finding for entry in given for finding in entry.result.findings)
    origins = dict.fromkeys(entry.origin for entry in given)
    remarks = dict.fromkeys(entry.result.advisory for entry in given if entry.result.advisory)
    return StatementResult(Decision(verdict), findings, "; ".join(remarks), ", ".join(origins))
