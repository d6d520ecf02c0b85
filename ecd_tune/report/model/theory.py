"""Results of a study's declared checks of the theory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecd_tune.spec import StudySpec

if TYPE_CHECKING:  # these load scipy
    from ecd_tune.analysis.checks import Finding, StudyCheckResult
    from ecd_tune.records import Trials

__all__ = ["CheckRow", "FindingRow", "Theory", "describe_theory"]


@dataclass(frozen=True)
class FindingRow:
    """One measured case of a check.

    Attributes:
        case: The setting; empty if there is only one.
        statistic: The statistic.
        sense: How it relates to ``predicted``: ``"="``, ``"≤"``, ``"<"`` or ``">"``.
        predicted: The value predicted, or the bound.
        measured: The value measured; None where nothing could be.
        low: Lower end of the 95 % interval; None where the rule has none.
        high: Upper end.
        verdict: ``supported``, ``refuted`` or ``inconclusive``.
        samples: Trials used.
        excluded: Trials left out, by why.
        needed: Trials that would be needed to decide, where it is known.
        note: Why it is inconclusive, and what has to be known.
    """

    case: str
    statistic: str
    sense: str
    predicted: float
    measured: float | None
    low: float | None
    high: float | None
    verdict: str
    samples: int
    excluded: Mapping[str, int]
    needed: int | None
    note: str


@dataclass(frozen=True)
class CheckRow:
    """One check on one optimizer's trials.

    Attributes:
        check: Its id.
        optimizer: Key of the optimizer.
        title: The optimizer's, as reports print it.
        statement: The prediction.
        source: Its source.
        rule: The decision rule.
        declared: When it was declared, in words.
        expects: The verdict expected.
        verdict: The verdict of all cases together.
        advisory: Why it does not count; empty where it does.
        findings: Its cases.
    """

    check: str
    optimizer: str
    title: str
    statement: str
    source: str
    rule: str
    declared: str
    expects: str
    verdict: str
    advisory: str
    findings: tuple[FindingRow, ...]


@dataclass(frozen=True)
class Theory:
    """The declared checks of a study.

    Attributes:
        checks: Their findings.
        reservations: Limitations of the verdicts, one sentence each.
    """

    checks: tuple[CheckRow, ...]
    reservations: tuple[str, ...]


def describe_theory(
    spec: StudySpec, trials: Trials, checked: Sequence[StudyCheckResult]
) -> Theory | None:
    """Convert results of checks to the report's model.

    Args:
        spec: The study.
        trials: Records by study key.
        checked: Results of the declared checks.

    Returns:
        Their part of the model; None where none is declared.
    """
    if not checked:
        return None
    from ecd_tune.analysis.checks import reservations

    return Theory(tuple(map(_row, checked)), tuple(reservations(spec, trials)))


def _row(checked: StudyCheckResult) -> CheckRow:
    result = checked.result
    return CheckRow(
        check=result.id,
        optimizer=checked.check.optimizer or "",
        title=checked.title,
        statement=result.relation.statement,
        source=result.relation.source,
        rule=result.rule,
        declared=checked.declared.value,
        expects=result.expects.value,
        verdict=result.verdict.value,
        advisory=result.advisory,
        findings=tuple(map(_finding, result.findings)),
    )


def _finding(finding: Finding) -> FindingRow:
    return FindingRow(
        case=finding.case,
        statistic=finding.statistic,
        sense=finding.sense,
        predicted=finding.predicted,
        measured=None if math.isnan(finding.measured) else finding.measured,
        low=finding.low,
        high=finding.high,
        verdict=finding.verdict.value,
        samples=finding.samples,
        excluded=dict(finding.excluded),
        needed=finding.needed,
        note=finding.note,
    )
