"""All claims, and their judgement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.lab.claims import about_measure, about_motion, about_settings, about_tables
from ecd_tune.lab.claims.deciders import BySystems
from ecd_tune.lab.claims.model import (
    Claim,
    Evidence,
    Judgement,
    Section,
    Standing,
    Statement,
)

__all__ = ["SECTIONS", "Judged", "judge_claims", "needed_systems"]

SECTIONS: tuple[Section, ...] = (
    *about_measure.SECTIONS,
    *about_motion.SECTIONS,
    *about_tables.SECTIONS,
    *about_settings.SECTIONS,
)
"""Every quantitative claim of the paper, in sections."""


@dataclass(frozen=True)
class Judged:
    """A claim with what was found.

    Attributes:
        claim: The claim.
        printed: What its test says of the printed form.
        beside: What its test says of the statement beside it; None where there is none.
    """

    claim: Claim
    printed: Judgement
    beside: Judgement | None

    @property
    def pairs(self) -> tuple[tuple[Statement, Judgement], ...]:
        """The statements, each with its judgement."""
        found = (self.printed,) if self.beside is None else (self.printed, self.beside)
        return tuple(zip(self.claim.statements, found, strict=True))

    @property
    def relation(self) -> str:
        """How the second statement stands to the printed one: ``"instead"`` or ``"besides"``."""
        return "instead" if self.printed.standing is Standing.REFUTED else "besides"

    def to_json(self) -> dict[str, Any]:
        """Return the claim and its judgement in plain values."""
        entries = [
            {
                "text": statement.text,
                "decided_by": [words for words, _ in statement.test.links],
                "rule": statement.test.rule,
                "verdict": judgement.standing,
                "remark": judgement.remark,
                "origin": judgement.origin,
                "findings": [_plain(finding) for finding in judgement.findings],
            }
            for statement, judgement in self.pairs
        ]
        fields = {"id": self.claim.id, "where": self.claim.where, "note": self.claim.note}
        return fields | dict(zip(("printed", self.relation), entries, strict=False))


def needed_systems(sections: Sequence[Section] = SECTIONS) -> list[str]:
    """Return the checks of exact systems by which claims are judged.

    Args:
        sections: The claims.

    Returns:
        Ids, sorted.
    """
    tests = (
        statement.test
        for section in sections
        for claim in section.claims
        for statement in claim.statements
    )
    return sorted({name for test in tests if isinstance(test, BySystems) for name in test.checks})


def judge_claims(
    evidence: Evidence, sections: Sequence[Section] = SECTIONS
) -> list[tuple[Section, list[Judged]]]:
    """Judge all claims.

    Args:
        evidence: What they are judged by.
        sections: The claims.

    Returns:
        Each section with its claims, judged.
    """
    return [
        (section, [_judge(claim, evidence) for claim in section.claims]) for section in sections
    ]


def _judge(claim: Claim, evidence: Evidence) -> Judged:
    beside = claim.beside
    return Judged(
        claim,
        claim.printed.test.judge(evidence),
        beside.test.judge(evidence) if beside else None,
    )


def _plain(finding: Finding) -> dict[str, Any]:
    """Return a finding in values that JSON has; numbers that it lacks are words."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in asdict(finding).items()
    }
