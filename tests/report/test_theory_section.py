"""The section on theory: one row per finding, time of declaration, exclusions."""

from __future__ import annotations

import pytest

from ecd_tune.analysis.checks import check_study
from ecd_tune.lab.searches import Bowl, exact_search, search_spec
from ecd_tune.report import build_report, render_html, render_markdown, write_report
from ecd_tune.report.model.relations.panels import Line, Points, ScatterPanel
from ecd_tune.report.render.data.json_file import report_to_dict
from ecd_tune.report.words.sections import build_sections
from ecd_tune.spec import CheckSpec

BOWL = Bowl("sync", trials=60)
DATA = exact_search(BOWL)
CHECKS = [
    {"name": "S1", "F_min": 1.0, "expects": "refuted"},
    {"name": "S2"},
    {"name": "S4"},
    {"name": "S9"},
]


@pytest.fixture(scope="module")
def report():
    spec = search_spec(BOWL, checks=CHECKS)
    trials = {spec.key("ecdsep"): DATA.records}
    stored = {"ecdsep": [CheckSpec(name="S2", optimizer="ecdsep")]}
    return build_report(spec, trials, {}, check_study(spec, trials, stored))


def section(report):
    return next(part for part in build_sections(report) if part.anchor == "theory")


def test_one_row_a_finding_with_prediction_interval_and_verdict(report):
    found = section(report)
    (table,) = found.tables
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert list(rows) == ["S1", "S2", "S4", "S9"]
    harmonic = rows["S2"]
    assert harmonic["Optimizer"] == "ECDSep"
    assert harmonic["Predicted"] == "-1"
    assert float(harmonic["Measured"]) == pytest.approx(-1, abs=0.05)
    assert [float(end) for end in harmonic["95 % interval"].split(" to ")] == pytest.approx(
        [-1, -1], abs=0.1
    )
    assert (harmonic["Trials"], harmonic["Verdict"]) == ("60", "supported")
    assert rows["S1"]["Predicted"] == "< 0"
    assert rows["S1"]["Remarks"].startswith("negative control, refuted is expected")
    assert (rows["S4"]["Measured"], rows["S4"]["95 % interval"]) == ("–", "–")
    assert "left out: 60 integrator is sync" in rows["S4"]["Remarks"]
    assert "advisory: a heuristic" in rows["S9"]["Remarks"]


def test_counts_and_times_of_declaration_stand_first(report):
    paragraphs = section(report).paragraphs
    assert paragraphs[0] == (
        "The study declares 4 checks of the theory: 2 supported, 2 inconclusive. "
        "Not as expected: S1 (ECDSep), S4 (ECDSep)."
    )
    assert "S1, S4, S9: declared after the run began." in paragraphs
    assert "S2: declared before the run." in paragraphs
    closing = section(report).closing
    assert [text[:3] for text in closing] == ["S1:", "S2:", "S4:", "S9:"]
    assert "(theory: law). Rule, fixed beforehand: stationary trials of s = 0" in closing[1]


def test_no_section_where_nothing_is_declared():
    spec = search_spec(BOWL)
    plain = build_report(spec, {spec.key("ecdsep"): DATA.records}, {})
    assert plain.theory is None
    assert all(part.anchor != "theory" for part in build_sections(plain))
    assert "## Theory" not in render_markdown(plain)
    assert report_to_dict(plain)["theory"] is None


def test_both_files_have_the_section(report):
    assert "## Theory" in render_markdown(report)
    assert '<h2 id="theory">Theory</h2>' in render_html(report)


def test_both_files_show_the_figures_in_it_where_there_are_any(report, tmp_path):
    line = Line((1.0, 10.0), (1.0, 2.0), (0.5, 1.0), (2.0, 4.0))
    panel = ScatterPanel("S2", "a line", "x", "y", True, True, (Points("a", (2.0,), (1.1,)),), line)
    write_report(report, tmp_path, ("md", "html"), [panel])
    assert (tmp_path / "figures" / "theory-1.svg").exists()
    text = (tmp_path / "report.md").read_text()
    assert "(figures/theory-1.svg)" in text[text.index("## Theory") :].split("\n## ")[0]
    page = (tmp_path / "report.html").read_text()
    assert "S2. a line" in page[page.index('<h2 id="theory">') :].split("</section>")[0]
    write_report(report, tmp_path / "plain", ("md", "html"))
    assert not (tmp_path / "plain" / "figures" / "theory-1.svg").exists()
    assert "theory-1.svg" not in (tmp_path / "plain" / "report.md").read_text()


def test_a_report_on_no_trials_says_so():
    spec = search_spec(BOWL, checks=CHECKS)
    empty = build_report(spec, {}, {}, check_study(spec, {}, {}))
    assert "ECDSep: 0 of 60 trials are in; verdicts may change." in section(empty).paragraphs
    assert {row[1] for row in section(empty).tables[0].rows} == {"inconclusive"}
