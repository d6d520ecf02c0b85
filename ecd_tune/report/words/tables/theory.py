"""Results of a study's declared checks, as a section of its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ecd_tune.report.model.theory import CheckRow, FindingRow, Theory
from ecd_tune.report.words.layout import Section, Table
from ecd_tune.report.words.numbers import format_number

__all__ = ["theory_section"]


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
        (Table("Checks of the theory on the study's trials", header, tuple(rows)),),
        tuple(about),
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
        "negative control, refuted is expected" if check.expects == "refuted" else "",
        f"advisory: {check.advisory}" if check.advisory else "",
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
