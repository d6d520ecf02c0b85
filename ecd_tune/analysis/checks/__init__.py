"""Relations that the theory predicts, and checks of a study's trials with their verdicts."""

from ecd_tune.analysis.checks.model import (
    Check,
    CheckResult,
    Finding,
    Relation,
    Subject,
    Verdict,
)
from ecd_tune.analysis.checks.runs import CheckedRun, Sample, StudyTrials
from ecd_tune.analysis.checks.study import (
    CHECKS,
    Declared,
    StudyCheckResult,
    check_study,
    reservations,
)

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "Declared",
    "Finding",
    "StudyCheckResult",
    "Relation",
    "CheckedRun",
    "Sample",
    "StudyTrials",
    "Subject",
    "Verdict",
    "check_study",
    "reservations",
]
