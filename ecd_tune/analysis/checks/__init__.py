"""Relations that the theory predicts, and checks of a study's trials with their verdicts."""

from ecd_tune.analysis.checks.judge import CHECKS, Declared, Judged, judge_study, reservations
from ecd_tune.analysis.checks.model import (
    Check,
    CheckResult,
    Finding,
    Relation,
    Subject,
    Verdict,
)
from ecd_tune.analysis.checks.runs import CheckedRun, Sample, StudyTrials

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "Declared",
    "Finding",
    "Judged",
    "Relation",
    "CheckedRun",
    "Sample",
    "StudyTrials",
    "Subject",
    "Verdict",
    "judge_study",
    "reservations",
]
