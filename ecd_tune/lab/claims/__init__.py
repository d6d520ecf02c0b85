"""The paper's quantitative claims, one by one, each with a test and a verdict."""

from ecd_tune.lab.claims.catalogue import (
    SECTIONS,
    ClaimResult,
    ClaimResults,
    evaluate_claims,
    needed_systems,
)
from ecd_tune.lab.claims.evidence import read_results, record_results
from ecd_tune.lab.claims.model import (
    Claim,
    ClaimSection,
    Decision,
    Evidence,
    RecordedResult,
    StatementResult,
)
from ecd_tune.lab.claims.page import count_decisions, render_page
from ecd_tune.lab.claims.printed import Printed, read_printed

__all__ = [
    "SECTIONS",
    "Claim",
    "Evidence",
    "RecordedResult",
    "ClaimResult",
    "ClaimResults",
    "StatementResult",
    "Printed",
    "ClaimSection",
    "Decision",
    "count_decisions",
    "record_results",
    "evaluate_claims",
    "needed_systems",
    "read_printed",
    "read_results",
    "render_page",
]
