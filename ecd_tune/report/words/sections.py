"""The sections of a report in their order: words and tables, before any markup.

Markdown, HTML and the terminal print the same tables; only figures differ.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecd_tune.analysis.curves import log_steps
from ecd_tune.records import METRIC
from ecd_tune.report.model.compare import sort_by_rank
from ecd_tune.report.model.curves import Panel, panels_of
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.words.layout import Page, Section, Table
from ecd_tune.report.words.numbers import format_number, format_within, surest
from ecd_tune.report.words.sentences.search_only import search_tables
from ecd_tune.report.words.tables.comparison import comparison_tables
from ecd_tune.report.words.tables.costs import cost_section, name_stage
from ecd_tune.report.words.tables.hyperparameters import best_section
from ecd_tune.report.words.tables.results import result_table
from ecd_tune.report.words.tables.search import search_section
from ecd_tune.report.words.tables.searches import searches_table
from ecd_tune.report.words.tables.theory import theory_section
from ecd_tune.spec import number_of, without_number

__all__ = ["build_page", "build_sections"]

_CURVE_ROWS = 8
_FIG_1 = ("zakharov", "ackley")
_DIGITS = 1e-3
"""Smallest spread, as a share of a value, by which it is rounded."""


def build_page(report: StudyReport) -> Page:
    """Lay a whole report out.

    Args:
        report: The model.

    Returns:
        Input of Markdown and HTML.
    """
    return Page(
        report.title,
        report.summary,
        report.answer.sentences,
        report.warnings,
        build_sections(report),
        report.oracle,
    )


def build_sections(report: StudyReport) -> tuple[Section, ...]:
    """Lay a report out.

    Args:
        report: The model.

    Returns:
        The sections after title, summary, answer and warnings, which every renderer sets itself;
        none that is empty.
    """
    several = any(len(row.searches) > 1 for row in report.results)
    sections = (
        Section(
            "results",
            "Results",
            tables=(result_table(report), *searches_table(report), *search_tables(report)),
            closing=(*report.notes, report.protocol_text),
        ),
        Section(
            "comparison",
            f"Comparison, {'search by search' if several else 'seed by seed'}",
            tables=comparison_tables(report),
        ),
        best_section(report),
        _curve_section(report),
        search_section(report),
        Section("runs", "How the runs went", report.remarks),
        *([theory_section(report.theory)] if report.theory else []),
        _searched_section(report),
        _reason_section(report),
        cost_section(report.cost),
        Section(
            "reproduce",
            "How to reproduce",
            (
                "Each trial and each run has its own seed, so a single rerun gives the same "
                "number with the same versions and hardware. With several workers the sampler "
                "sees results in another order and may propose other trials.",
            ),
            code=report.setup.command,
        ),
    )
    return tuple(section for section in sections if not section.empty)


def _effort_table(report: StudyReport) -> Iterator[Table]:
    if report.effort is None:
        return
    title = next((c.title for c in report.curves if c.quantity == METRIC), "value")
    memory = any(row.memory_mib is not None for row in report.effort.rows)
    rows = tuple(
        (
            row.label,
            f"{row.reached} of {row.runs}",
            format_number(row.steps, 3, "not reached"),
            format_number(row.seconds, 3, "not reached"),
            *([format_number(row.memory_mib, 3)] if memory else []),
        )
        for row in report.effort.rows
    )
    header = (
        "Optimizer",
        "Runs that reach it",
        report.budget_unit.capitalize(),
        "Seconds",
        *(["Peak memory [MiB]"] if memory else []),
    )
    yield Table(
        f"Steps and time to a {title} of {format_number(report.effort.target, 3)}{report.mark}",
        header,
        rows,
        "Medians over confirmed runs of the first step whose recorded value is at least as good "
        "as the value that the median run of every optimizer reaches, and of the time to it, with "
        "a run's wall time divided evenly among its steps. Memory is that of the whole process.",
    )


def _curve_section(report: StudyReport) -> Section:
    counterpart = " (the counterpart of the paper's Fig. 1)"
    title = f"Learning curves{counterpart if report.task in _FIG_1 else ''}{report.mark}"
    if not report.curves:
        return Section("curves", title, ("No curves are stored yet.",))
    panels = [
        Panel(panel.title, tuple(sort_by_rank(report, panel.curves))) for panel in panels_of(report)
    ]
    several = f", one panel per quantity ({len(panels)})" if len(panels) > 1 else ""
    text = (
        f"Median over runs of the recorded value at each step ({report.budget_unit}), with a band "
        f"from the lower to the upper quartile{several}."
    )
    rows = panels[0].curves
    held = [f"{c.label} {c.band.held} of {c.band.runs}" for c in rows if c.band.held]
    if held:
        text += f" A run that diverged keeps its last finite point: {', '.join(held)}."
    searched = [c.label for c in rows if c.stage.value == "search"]
    extra = (f"Not confirmed, only the search's best trial: {', '.join(searched)}.",)
    paragraphs = (text, *(extra if searched else ()))
    tables = tuple(_curve_table(report, panel) for panel in panels)
    return Section("curves", title, paragraphs, (*_effort_table(report), *tables))


def _curve_table(report: StudyReport, panel: Panel) -> Table:
    steps = log_steps(sorted({s for c in panel.curves for s in c.band.steps}), _CURVE_ROWS)
    rows = tuple((str(step), *_curve_cells(panel, step)) for step in steps)
    header = (report.budget_unit, *(f"{c.label}{report.mark}" for c in panel.curves))
    return Table(f"Median {panel.title} at some steps", header, rows, aside=True)


def _curve_cells(panel: Panel, step: int) -> Iterator[str]:
    bands = [(curve.band, sum(s <= step for s in curve.band.steps) - 1) for curve in panel.curves]
    spreads = [abs(band.q3[at] - band.q1[at]) / 2 if at >= 0 else 0.0 for band, at in bands]
    # All cells of a row to the digits that the surest of them has, unless that is too many.
    sure = surest(spreads) or 0.0
    for (band, at), own in zip(bands, spreads, strict=True):
        enough = max(sure, own / 10, abs(band.median[at]) * _DIGITS) if sure else None
        yield "–" if at < 0 else format_within(band.median[at], enough)


def _searched_section(report: StudyReport) -> Section:
    setup = report.setup
    spaces = tuple(
        (row.optimizer, row.name, row.allowed, "yes" if row.searched else "no", row.doc)
        for row in setup.spaces
    )
    prints = tuple((f"Fingerprint, {key}", text) for key, text in setup.fingerprints.items())
    facts = (*setup.facts.items(), *prints, *setup.environment.items())
    header = ("Optimizer", "Hyperparameter", "Range or value", "Searched", "Meaning")
    return Section(
        "setup",
        "What was searched",
        tables=(
            Table("Search spaces and fixed values", header, spaces, aside=True),
            Table("Settings, versions and machine", ("What", "Value"), facts, aside=True),
        ),
    )


def _reason_section(report: StudyReport) -> Section:
    title = "Trials that diverged or failed"
    if not report.reasons:
        return Section("failures", title, ("None.",))
    titles = {row.optimizer: row.title for row in report.results}
    rows = []
    for group in sort_by_rank(report, report.reasons):
        number = number_of(group.optimizer)
        label = titles[without_number(group.optimizer)] + f", search {number}" * (number > 1)
        counts = (str(group.count), str(group.example))
        rows.append((label, name_stage(group.stage), group.kind, group.reason, *counts))
    header = ("Optimizer", "Stage", "How", "Reason", "Trials", "First trial")
    note = "Numbers in a reason are replaced by N, so that equal reasons are grouped."
    return Section("failures", title, tables=(Table("By reason", header, tuple(rows), note),))
