"""``docs/claims.md``: the claims with their verdicts, and the numbers behind them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.lab.claims.catalogue import JudgedClaim, JudgedSections
from ecd_tune.lab.claims.model import ClaimSection, Decision, Judgement, Statement

__all__ = ["count_decisions", "render_page"]

_PACKAGES = ("ecd_tune", "numpy", "scipy", "torch")
_SHOWN = 3
"""Cases that a note names."""
_MEANINGS = {
    Decision.SUPPORTED: "the numbers are as claimed, by the rule that stands beside the claim.",
    Decision.REFUTED: "they are not. It is the sentence as printed that is judged: what was built "
    "on it may hold all the same, for a factor drops out of many comparisons, and a table's entry "
    "may come from other runs than those listed.",
    Decision.INCONCLUSIVE: "they do not decide; often there are too few runs.",
    Decision.NO_RESULT: "a recorded study decides, and its result was not handed to the command.",
    Decision.NOT_TESTED: "nothing here decides, for the reason given.",
}


def count_decisions(sections: JudgedSections) -> Counter[Decision]:
    """Count the verdicts of the claims as printed.

    Args:
        sections: Judged claims.

    Returns:
        How many have each.
    """
    return Counter(judged.decision for _, claims in sections for judged in claims)


def render_page(sections: JudgedSections) -> str:
    """Write the page.

    Args:
        sections: Judged claims.

    Returns:
        Markdown, with links relative to ``docs/``.
    """
    return "\n".join(_page(sections)) + "\n"


def _page(sections: JudgedSections) -> Iterator[str]:
    counts = count_decisions(sections)
    yield from ("# What the paper claims, one by one", "")
    yield (
        "De Luca, Gatti, Silverstein: *Improving Energy Conserving Descent for Machine Learning: "
        "Theory and Practice*. Each quantitative claim, where it stands, what decides about it "
        "here, and the verdict. Made by `ecd-tune claims --markdown` with "
        f"{', '.join(f'{name} {version(name)}' for name in _PACKAGES)}; {_origins(sections)}."
    )
    yield ""
    yield (
        "C and N are checks of exact systems, S checks of "
        "[recorded studies](results/theory/README.md): [theory](theory.md) says what they are, "
        "[results over 20 seeds](results/theory/systems.md) how often those of systems err, and "
        "`ecd-tune check` prints their rules, fixed beforehand. The rest is "
        "calculated from the numbers that the paper prints, "
        "[kept as data](../ecd_tune/lab/claims/printed.toml), or from its formulas. Where a "
        "printed form does not hold and another one does, that one stands beneath it, judged as "
        "well. [Numbers](#numbers) has what was claimed and what was found, case by case."
    )
    yield ""
    total = sum(counts.values())
    yield f"Of {total} claims as printed:"
    yield ""
    for decision, meaning in _MEANINGS.items():
        yield f"- **{decision}** {counts[decision]}: {meaning}"
    for section, claims in sections:
        yield from _section(section, claims)
    yield from ("", "## Numbers")
    for section, claims in sections:
        yield from _numbers(section, claims)


def _origins(sections: JudgedSections) -> str:
    origins = {
        judgement.origin: None
        for _, claims in sections
        for judged in claims
        for _, judgement in judged.pairs
        if judgement.origin
    }
    return f"checks of {', '.join(origins)}" if origins else "no results of checks"


# ----------------------------------------------------------------------------- claims


def _section(section: ClaimSection, claims: Sequence[JudgedClaim]) -> Iterator[str]:
    yield from ("", f"## {section.title}", "", section.about, "")
    yield "| claim | where | what is claimed | decided by | verdict |"
    yield "|---|---|---|---|---|"
    for judged in claims:
        for number, (statement, judgement) in enumerate(judged.pairs):
            second = number > 0
            yield _row(
                "" if second else f"`{judged.claim.id}`",
                judged.relation if second else judged.claim.where,
                statement.text,
                _deciders(statement),
                f"**{judgement.decision}**",
            )
    notes = [(judged, note) for judged in claims if (note := _note(judged))]
    if notes:
        yield ""
    for judged, note in notes:
        yield f"- `{judged.claim.id}`: {note}"


def _deciders(statement: Statement) -> str:
    links = ", ".join(f"[{words}]({target})" for words, target in statement.links)
    return "; ".join(part for part in (links, statement.rule) if part) or "–"


def _note(judged: JudgedClaim) -> str:
    parts = (*(_account(judgement) for _, judgement in judged.pairs), judged.claim.note)
    return " ".join(part for part in parts if part)


def _account(judgement: Judgement) -> str:
    """Say why there is no verdict, or in which cases it is not ``supported``."""
    if judgement.decision is Decision.SUPPORTED or not judgement.findings:
        return _sentence(judgement)
    return f"{_cases(judgement)} {_sentence(judgement)}".rstrip()


def _cases(judgement: Judgement) -> str:
    """Name the cases that have the verdict of the whole."""
    cases = [f for f in judgement.findings if Decision(f.verdict) is judgement.decision]
    shown = "; ".join(map(_case, cases[:_SHOWN]))
    share = f"{len(cases)} of {len(judgement.findings)} cases"
    more = ", among them" if len(cases) > _SHOWN else ""
    return f"{judgement.decision.capitalize()} in {share}{more}: {shown}."


def _case(finding: Finding) -> str:
    found = _number(finding.measured)
    note = f" ({finding.note})" if finding.note else ""
    name = ", ".join(part for part in (finding.case, finding.statistic) if part)
    return f"{name}: claimed {_prediction(finding)}, found {found}{note}"


def _sentence(judgement: Judgement) -> str:
    text = judgement.remark
    return text and text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


# ----------------------------------------------------------------------------- numbers


def _numbers(section: ClaimSection, claims: Sequence[JudgedClaim]) -> Iterator[str]:
    found = [
        (f"`{judged.claim.id}`{f', {judged.relation}' * (number > 0)}", finding)
        for judged in claims
        for number, (_, judgement) in enumerate(judged.pairs)
        for finding in judgement.findings
    ]
    if not found:
        return
    counts = Counter(finding.verdict for _, finding in found)
    words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    yield from ("", f"### {section.title}: numbers", "", f"{len(found)} cases: {words}.", "")
    yield "| claim | case | quantity | claimed | found | interval | verdict | samples | note |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, finding in found:
        yield _row(name, *_cells(finding))


def _cells(finding: Finding) -> tuple[str, ...]:
    return (
        finding.case,
        finding.statistic,
        _prediction(finding),
        _number(finding.measured),
        finding.interval,
        finding.verdict,
        str(finding.samples),
        finding.note,
    )


def _prediction(finding: Finding) -> str:
    sense = "" if finding.sense == "=" else f"{finding.sense} "
    return f"{sense}{_number(finding.predicted)}"


def _number(value: float) -> str:
    """Print whole numbers in full and others to six digits; a dash where nothing was found."""
    if math.isnan(value):
        return "–"
    whole = math.isfinite(value) and value == round(value) and abs(value) < 1e9
    return f"{value:,.0f}" if whole else f"{value:.6g}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
