"""All claims, and their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ecd_tune.lab.claims import about_measure, about_motion, about_settings, about_tables
from ecd_tune.lab.claims.model import (
    Claim,
    ClaimSection,
    Decision,
    Evidence,
    Statement,
    StatementResult,
)

__all__ = ["SECTIONS", "ClaimResult", "ClaimResults", "evaluate_claims", "needed_systems"]

SECTIONS: tuple[ClaimSection, ...] = (
    *about_measure.SECTIONS,
    *about_motion.SECTIONS,
    *about_tables.SECTIONS,
    *about_settings.SECTIONS,
)
"""Every quantitative claim of the paper, in sections."""


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its results.

    Attributes:
        claim: The claim.
        results: The results of its statements, the printed one first.
    """

    claim: Claim
    results: tuple[StatementResult, ...]

    @property
    def decision(self) -> Decision:
        """The verdict on the printed statement."""
        return self.results[0].decision

    @property
    def pairs(self) -> tuple[tuple[Statement, StatementResult], ...]:
        """The statements, each with its result."""
        return tuple(zip(self.claim.statements, self.results, strict=True))

    @property
    def relation(self) -> str:
        """Relation of the second statement to the printed one: ``"instead"`` or ``"besides"``."""
        return "instead" if self.decision is Decision.REFUTED else "besides"

    def to_json(self) -> dict[str, Any]:
        """Return the claim and its result in plain values."""
        entries = [
            {
                "text": statement.text,
                "decided_by": [words for words, _ in statement.links],
                "rule": statement.rule,
                "verdict": result.decision,
                "remark": result.remark,
                "origin": result.origin,
                "findings": [finding.to_json() for finding in result.findings],
            }
            for statement, result in self.pairs
        ]
        fields = {"id": self.claim.id, "where": self.claim.where, "note": self.claim.note}
        return fields | dict(zip(("printed", self.relation), entries, strict=False))


ClaimResults = Sequence[tuple[ClaimSection, Sequence[ClaimResult]]]
"""Sections with the results of their claims."""


def needed_systems(sections: Sequence[ClaimSection] = SECTIONS) -> list[str]:
    """Return the checks of exact systems that the claims use.

    Args:
        sections: The claims.

    Returns:
        Ids, sorted.
    """
    statements = (s for section in sections for claim in section.claims for s in claim.statements)
    return sorted({name for statement in statements for name in statement.systems})


def evaluate_claims(
    evidence: Evidence, sections: Sequence[ClaimSection] = SECTIONS
) -> ClaimResults:
    """Evaluate all claims.

    Args:
        evidence: The evidence.
        sections: The claims.

    Returns:
        Each section with its claims and verdicts.
    """
    return [
        (
            section,
            [
                ClaimResult(
                    claim, tuple(statement.evaluate(evidence) for statement in claim.statements)
                )
                for claim in section.claims
            ],
        )
        for section in sections
    ]
