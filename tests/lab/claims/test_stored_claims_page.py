"""The stored page has the claims of the registry with their results."""

from __future__ import annotations

import re
from pathlib import Path

from ecd_tune.lab.claims import SECTIONS

PAGE = Path(__file__).parents[3] / "docs" / "claims.md"
RESULTS = PAGE.parent / "results" / "theory"
CLAIMS = [claim for section in SECTIONS for claim in section.claims]
ROW = re.compile(r"^\| `([\w-]+)` \| ([^|]+) \| ", re.MULTILINE)


def test_page_has_all_claims():
    kept = PAGE.read_text(encoding="utf-8")
    rows = ROW.findall(kept.partition("## Numbers")[0])
    assert rows == [(claim.id, claim.where) for claim in CLAIMS], "run: make docs"
    for claim in CLAIMS:
        for statement in claim.statements:
            assert statement.text.replace("|", "\\|") in kept, "run: make docs"


def decided(line):
    """Say whether something is kept that decides about the claim of a row."""
    study = re.search(r"studies/theory/([\w-]+)\.toml", line)
    return "systems.md#" in line or (study and (RESULTS / study[1] / "checks.json").exists())


def test_page_has_a_verdict_for_each_recorded_result():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert sum(map(bool, map(decided, rows))) > 25
    for line in filter(decided, rows):
        assert "no result given" not in line, "run: make docs"
