"""What a study's declared checks say of the theory: their part of the model, and their section."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecd_tune.report.layout import Section, Table
from ecd_tune.report.numbers import format_number
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:  # these load scipy
    from ecd_tune.analysis.checks import Finding, Judged
    from ecd_tune.records import Trials

__all__ = ["CheckRow", "FindingRow", "Theory", "describe_theory", "theory_section"]


@dataclass(frozen=True)
class FindingRow:
    """One measured case of a check.

    Attributes:
        case: The setting; empty where there is one alone.
        statistic: What was measured.
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
        statement: What is predicted.
        source: Where that stands.
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
        checks: What each found.
        reservations: What keeps verdicts from being final or exact, sentence by sentence.
    """

    checks: tuple[CheckRow, ...]
    reservations: tuple[str, ...]


def describe_theory(spec: StudySpec, trials: Trials, judged: Sequence[Judged]) -> Theory | None:
    """Put what checks found into the report's model.

    Args:
        spec: The study.
        trials: Records by study key.
        judged: What the declared checks found.

    Returns:
        Their part of the model; None where none is declared.
    """
    if not judged:
        return None
    from ecd_tune.analysis.checks import reservations

    return Theory(tuple(map(_row, judged)), tuple(reservations(spec, trials)))


def _row(judged: Judged) -> CheckRow:
    result = judged.result
    return CheckRow(
        check=result.id,
        optimizer=judged.check.optimizer or "",
        title=judged.title,
        statement=result.relation.statement,
        source=result.relation.source,
        rule=result.rule,
        declared=judged.declared.value,
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


def theory_section(theory: Theory) -> Section:
    """Lay the declared checks out.

    Args:
        theory: Their part of the model.

    Returns:
        The section.
    """
    rows = [tuple(_cells(check, f)) for check in theory.checks for f in check.findings]
    header = (
        "Check",
        "Verdict",
        "Optimizer",
        "What was measured",
        "Predicted",
        "Measured",
        "95 % interval",
        "Trials",
        "Remarks",
    )
    about = {
        f"{c.check}: {c.statement} ({c.source}). Rule, fixed beforehand: {c.rule}.": None
        for c in theory.checks
    }
    return Section(
        "theory",
        "Theory",
        (_count(theory), *_timing(theory), *theory.reservations),
        (Table("What the study's trials say of the theory", header, tuple(rows)),),
        tuple(about),
        figure="theory",
    )


def _cells(check: CheckRow, finding: FindingRow) -> Iterator[str]:
    yield check.check
    yield finding.verdict
    yield check.title
    yield f"{finding.case}: {finding.statistic}" if finding.case else finding.statistic
    yield f"{'' if finding.sense == '=' else finding.sense + ' '}{format_number(finding.predicted)}"
    yield format_number(finding.measured)
    ends = (finding.low, finding.high)
    yield "–" if None in ends else " to ".join(format_number(end) for end in ends)
    yield str(finding.samples)
    yield _remarks(check, finding)


def _remarks(check: CheckRow, finding: FindingRow) -> str:
    left_out = ", ".join(f"{count} {reason}" for reason, count in finding.excluded.items())
    parts = (
        "a control, to be refuted" if check.expects == "refuted" else "",
        f"does not count: {check.advisory}" if check.advisory else "",
        finding.note,
        f"left out: {left_out}" if left_out else "",
    )
    return "; ".join(part for part in parts if part)


def _count(theory: Theory) -> str:
    counts = Counter(check.verdict for check in theory.checks)
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    size = len(theory.checks)
    wrong = [
        f"{check.check} ({check.title})"
        for check in theory.checks
        if check.verdict != check.expects and not check.advisory
    ]
    outcome = f"Not as expected: {', '.join(wrong)}." if wrong else "All are as expected."
    return f"The study declares {size} check{'s' * (size != 1)} of the theory: {words}. {outcome}"


def _timing(theory: Theory) -> Iterator[str]:
    """Yield one sentence for each way in which checks were declared."""
    for declared in dict.fromkeys(check.declared for check in theory.checks):
        names = dict.fromkeys(c.check for c in theory.checks if c.declared == declared)
        every = len({check.declared for check in theory.checks}) == 1
        what = "All were" if every and len(names) > 1 else f"{', '.join(names)}:"
        yield f"{what} {declared}."
