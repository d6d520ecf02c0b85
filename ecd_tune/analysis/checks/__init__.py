"""Relations that the theory predicts, and checks that say supported, refuted or inconclusive."""

from ecd_tune.analysis.checks.bench import Bench, Laboratory
from ecd_tune.analysis.checks.model import (
    Check,
    CheckResult,
    Finding,
    Relation,
    Subject,
    Verdict,
)
from ecd_tune.analysis.checks.registry import CHECKS
from ecd_tune.analysis.checks.run import run_systems, system_checks

__all__ = [
    "CHECKS",
    "Bench",
    "Check",
    "CheckResult",
    "Finding",
    "Laboratory",
    "Relation",
    "Subject",
    "Verdict",
    "run_systems",
    "system_checks",
]
