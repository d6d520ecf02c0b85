"""The registry of claims, and the page generated from it."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import pytest

from ecd_tune.analysis.checks.model import CheckResult, Finding, Verdict
from ecd_tune.lab import system_checks
from ecd_tune.lab.claims import (
    SECTIONS,
    Decision,
    Evidence,
    count_decisions,
    evaluate_claims,
    needed_systems,
    read_printed,
    record_results,
    render_page,
)
from ecd_tune.lab.claims.model import Claim, ClaimSection
from ecd_tune.lab.claims.stating import by_formula, untested

DOCS = Path(__file__).parents[3] / "docs"
CLAIMS = [claim for section in SECTIONS for claim in section.claims]
LINK = re.compile(r"\]\(([^)]+)\)")


def all_supported():
    """Results in which every check of exact systems is supported."""
    found = (Finding("n=1", "mean", 1.0, 1.0, None, None, Verdict.SUPPORTED, 1),)
    return [
        CheckResult(check.id, check.relation, check.rule, check.expects, found)
        for check in system_checks(needed_systems())
    ]


PAGE = render_page(evaluate_claims(Evidence(read_printed(), record_results(all_supported(), 5))))


def anchors(page):
    """Return the anchors of a page's headings as GitHub makes them."""
    seen = Counter()
    for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        yield slug if not seen[slug] else f"{slug}-{seen[slug]}"
        seen[slug] += 1


def is_there(link, page):
    path, _, anchor = link.partition("#")
    target = DOCS / path if path else None
    if target is not None and not target.exists():
        return False
    return not anchor or anchor in anchors(target.read_text() if target else page)


# ----------------------------------------------------------------------------- registry


def test_ids_are_short_and_used_once():
    names = [claim.id for claim in CLAIMS]
    assert len(names) == len(set(names)) >= 70
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_claims_have_a_source_and_complete_sentences(claim):
    assert claim.where
    for text in [*(s.text for s in claim.statements), claim.note or "."]:
        assert text.endswith("."), text


def test_notes_name_claims_that_exist():
    names = {claim.id for claim in CLAIMS}
    named = {
        word
        for claim in CLAIMS
        for word in re.findall(r"(?:under|see|See|and|result by) `([a-z0-9-]+)`", claim.note)
    }
    assert named <= names
    assert named


def test_checks_that_claims_name_exist():
    assert {check.id for check in system_checks(needed_systems())} == set(needed_systems())


# ----------------------------------------------------------------------------- page


def test_links_are_valid():
    links = set(LINK.findall(PAGE))
    assert len(links) > 15
    assert [link for link in links if not is_there(link, PAGE)] == []


def test_invalid_link_is_detected():
    assert not is_there("theory.md#speeds", PAGE)
    assert not is_there("results/theory/none.md", PAGE)
    assert not is_there("#figures", PAGE)


def test_all_rows_of_a_table_have_its_columns():
    width = 0
    for line in PAGE.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (width and cells) or cells == width, line
        width = cells


def test_verdicts_on_the_page_are_counted():
    result = evaluate_claims(Evidence(read_printed(), record_results(all_supported(), 5)))
    counts = count_decisions(result)
    assert sum(counts.values()) == len(CLAIMS)
    for decision in Decision:
        assert f"- **{decision}** {counts[decision]}:" in PAGE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12_000_000.0, "12,000,000"),
        (0.0, "0"),
        (-3.0, "-3"),
        (0.1 + 0.2, "0.3"),
        (1e300, "1e+300"),
        (math.inf, "inf"),
        (math.nan, "–"),
    ],
)
def test_numbers_are_formatted(value, text):
    found = Finding("n=1", "mean", 1.0, value, None, None, Verdict.INCONCLUSIVE, 1)
    section = ClaimSection(
        "One", "", (Claim("a", "eq. 1", by_formula("It holds.", "", lambda: [found])),)
    )
    page = render_page(evaluate_claims(Evidence(read_printed()), [section]))
    assert f"| `a` | n=1 | mean | 1 | {text} |  | inconclusive | 1 |  |" in page


def test_notes_name_the_cases_that_decide():
    cases = [
        Finding(f"n={n}", "mean", 1.0, 2.5, None, None, verdict, 1, "", "≤")
        for n, verdict in enumerate([Verdict.SUPPORTED, *[Verdict.REFUTED] * 4])
    ]
    claim = Claim("a", "eq. 1", by_formula("It holds.", "", lambda: cases), note="A note.")
    other = Claim("b", "eq. 2", untested("A figure.", "no numbers"))
    section = ClaimSection("One", "About it.", (claim, other))
    page = render_page(evaluate_claims(Evidence(read_printed()), [section]))
    assert (
        "- `a`: Refuted in 4 of 5 cases, among them: n=1, mean: claimed ≤ 1, found 2.5; "
        "n=2, mean: claimed ≤ 1, found 2.5; n=3, mean: claimed ≤ 1, found 2.5. A note."
    ) in page
    assert "- `b`: No numbers." in page
    assert page.count("| `a` |") == 6
