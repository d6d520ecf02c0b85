"""The page that is kept has the claims of the registry, judged."""

from __future__ import annotations

import re
from pathlib import Path

from ecd_tune.analysis.claims import SECTIONS

PAGE = Path(__file__).parents[3] / "docs" / "claims.md"
CLAIMS = [claim for section in SECTIONS for claim in section.claims]
ROW = re.compile(r"^\| `([\w-]+)` \| ([^|]+) \| ", re.MULTILINE)


def test_it_has_the_claims_of_the_registry():
    kept = PAGE.read_text(encoding="utf-8")
    rows = ROW.findall(kept.partition("## Numbers")[0])
    assert rows == [(claim.id, claim.where) for claim in CLAIMS], "run: make docs"
    for claim in CLAIMS:
        for statement in claim.statements:
            assert statement.text.replace("|", "\\|") in kept, "run: make docs"


def test_it_has_a_verdict_wherever_a_check_of_exact_systems_decides():
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if "systems.md#" in line and line.startswith("|"):
            assert "no result given" not in line, "run: make docs"
