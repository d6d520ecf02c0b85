"""What decides about a statement: checks of systems or of a study, a calculation, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ecd_tune.analysis.checks.model import Finding, Verdict, combine
from ecd_tune.lab.claims.model import Evidence, Given, Judgement, Standing
from ecd_tune.lab.claims.printed import Printed

__all__ = ["ByFormula", "ByNumbers", "ByStudy", "BySystems", "Untested"]


@dataclass(frozen=True)
class BySystems:
    """Checks of exact systems, all of which must be supported.

    Attributes:
        checks: Ids, for example ``("C04", "C05")``.
    """

    checks: tuple[str, ...]
    rule: str = ""

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """The checks' results over many seeds."""
        return tuple((name, "results/theory/systems.md#how-often-by-check") for name in self.checks)

    def judge(self, evidence: Evidence) -> Judgement:
        """Combine the checks' verdicts."""
        return _combine([(name, evidence.find(name)) for name in self.checks])


@dataclass(frozen=True)
class ByStudy:
    """A check of the recorded trials of one of the studies in ``studies/theory``.

    Attributes:
        check: Id, for example ``"S1"``.
        study: Name of the study.
    """

    check: str
    study: str
    rule: str = ""

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """The study's file, which declares the check."""
        return ((f"{self.check} on {self.study}", f"../studies/theory/{self.study}.toml"),)

    def judge(self, evidence: Evidence) -> Judgement:
        """Take the check's verdict on that study; its negative controls are another claim."""
        given = evidence.find(self.check, self.study)
        counted = [entry for entry in given if entry.result.expects is Verdict.SUPPORTED]
        return _combine([(f"{self.check} on {self.study}", counted)])


@dataclass(frozen=True)
class ByNumbers:
    """A calculation from the numbers that the paper prints.

    Attributes:
        compute: From the printed numbers to findings, every one of which must hold.
        rule: The decision rule in words.
    """

    compute: Callable[[Printed], Sequence[Finding]]
    rule: str

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """The module that calculates."""
        return (("printed numbers", _source(self.compute)),)

    def judge(self, evidence: Evidence) -> Judgement:
        """Calculate."""
        return _decide(self.compute(evidence.printed))


@dataclass(frozen=True)
class ByFormula:
    """A calculation from the paper's formulas.

    Attributes:
        compute: Gives findings, every one of which must hold.
        rule: The decision rule in words.
    """

    compute: Callable[[], Sequence[Finding]]
    rule: str

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """The module that calculates."""
        return (("formulas", _source(self.compute)),)

    def judge(self, evidence: Evidence) -> Judgement:
        """Calculate."""
        return _decide(self.compute())


@dataclass(frozen=True)
class Untested:
    """Nothing here decides.

    Attributes:
        reason: Why not, and what would; a sentence.
    """

    reason: str
    rule: str = ""

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """None."""
        return ()

    def judge(self, evidence: Evidence) -> Judgement:
        """Say why not."""
        return Judgement(Standing.NOT_TESTED, remark=self.reason)


def _source(compute: Callable[..., Any]) -> str:
    function = compute.func if isinstance(compute, partial) else compute
    return f"../{function.__module__.replace('.', '/')}.py"


def _decide(findings: Sequence[Finding]) -> Judgement:
    verdict = combine([finding.verdict for finding in findings])
    return Judgement(Standing(verdict), tuple(findings))


def _combine(found: Sequence[tuple[str, Sequence[Given]]]) -> Judgement:
    missing = [name for name, given in found if not given]
    if missing:
        return Judgement(Standing.NO_RESULT, remark=f"no result of {', '.join(missing)} was given")
    given = [entry for _, entries in found for entry in entries]
    verdict = combine([entry.result.verdict for entry in given])
    findings = tuple(finding for entry in given for finding in entry.result.findings)
    origins = dict.fromkeys(entry.origin for entry in given)
    remarks = dict.fromkeys(entry.result.advisory for entry in given if entry.result.advisory)
    return Judgement(Standing(verdict), findings, "; ".join(remarks), ", ".join(origins))
