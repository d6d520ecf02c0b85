"""Claims as plain objects: the statement of the paper, its test, the result.

A :class:`Claim` carries one or two :class:`Statement` s: the printed statement, tested as printed,
and a correction or a related statement. A statement gives a :class:`StatementResult` from
:class:`Evidence`; no verdict is written down anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ecd_tune.analysis.checks.model import CheckResult, Finding
from ecd_tune.lab.claims.printed import Printed

__all__ = [
    "Claim",
    "Evidence",
    "RecordedResult",
    "StatementResult",
    "ClaimSection",
    "Decision",
    "Statement",
]


class Decision(StrEnum):
    """The status of a statement: a check's verdict, or that there is none."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    NO_RESULT = "no result given"
    """A check of a recorded study decides, and its result was not given."""
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class RecordedResult:
    """A check's result, and where it comes from.

    Attributes:
        result: The result.
        study: Name of the study whose trials were checked; empty for exact systems.
        origin: In words, for example ``"exact systems at seed 7"``.
    """

    result: CheckResult
    study: str
    origin: str


@dataclass(frozen=True)
class Evidence:
    """The evidence for all claims.

    Attributes:
        printed: The paper's numbers.
        given: Results of checks.
    """

    printed: Printed
    given: tuple[RecordedResult, ...] = ()

    def find(self, check: str, study: str = "") -> list[RecordedResult]:
        """Return the results of one check.

        Args:
            check: Its id.
            study: Name of the study; empty for exact systems.

        Returns:
            All given results.
        """
        return [g for g in self.given if g.result.id == check and g.study == study]


@dataclass(frozen=True)
class StatementResult:
    """Result of a statement.

    Attributes:
        decision: The verdict, or why there is none.
        findings: The numbers behind it.
        remark: Why there are none, or a caveat; may be empty.
        origin: Which results of checks they are; empty for a calculation.
    """

    decision: Decision
    findings: tuple[Finding, ...] = ()
    remark: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Statement:
    """A sentence, and what decides about it.

    Attributes:
        text: The claim, in one line.
        evaluate: Decides.
        links: Words for what decides, and where they lead, relative to ``docs/``.
        rule: The decision rule in words; empty where the links lead to it.
        systems: Ids of the checks of exact systems whose results decide.
    """

    text: str
    evaluate: Callable[[Evidence], StatementResult]
    links: tuple[tuple[str, str], ...] = ()
    rule: str = ""
    systems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A quantitative claim of the paper.

    Attributes:
        id: Short and lasting, for example ``"speed"``.
        where: Section, equation or table.
        printed: The statement of the paper.
        related: A correction or a related statement.
        note: How the claim was read, and what its verdict means; sentences.
    """

    id: str
    where: str
    printed: Statement
    related: Statement | None = None
    note: str = ""

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The printed statement, and the second one if there is one."""
        return (self.printed,) if self.related is None else (self.printed, self.related)


@dataclass(frozen=True)
class ClaimSection:
    """Claims about one topic.

    Attributes:
        title: Heading.
        about: A paragraph of Markdown on all of them, links relative to ``docs/``.
        claims: In the paper's order.
    """

    title: str
    about: str
    claims: tuple[Claim, ...]
