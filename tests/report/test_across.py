"""Studies side by side: ranks, the critical difference, time to target, and their files."""

import csv
import dataclasses
import io
import json
import math
from types import SimpleNamespace

import pytest
from scipy import stats

from ecd_tune.errors import UnknownNameError
from ecd_tune.records import Direction
from ecd_tune.report import COMPARISON_FORMATS, build_report, compare_studies, write_comparison
from ecd_tune.report.model.across import critical_difference
from ecd_tune.report.render.figures.across import draw_across
from ecd_tune.report.words.across import across_page


@pytest.mark.parametrize(
    ("k", "q"),
    # Table 5(a) of Demšar, JMLR 7 (2006): critical values of the two-tailed Nemenyi test at .05.
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)],
)
def test_the_critical_difference_is_the_published_one(k, q):
    for tasks in (2, 14):
        expected = q * math.sqrt(k * (k + 1) / (6 * tasks))
        assert critical_difference(k, tasks) == pytest.approx(expected, rel=5e-4)


def task(name, medians, seconds=(), **fields):
    """A stand-in for a report of these medians, to be made large."""
    keys = "abcd"[: len(medians)]
    rows = [
        SimpleNamespace(
            optimizer=key,
            title=key.upper(),
            source="best",
            summary=SimpleNamespace(median=m, median_interval=None, runs=5) if m else None,
        )
        for key, m in zip(keys, medians, strict=True)
    ]
    effort = [
        SimpleNamespace(optimizer=key, source="best", seconds=s)
        for key, s in zip(keys, seconds, strict=False)
    ]
    told = {
        "name": name, "title": f"Task {name}", "confirm_metric": "accuracy",
        "direction": Direction.MAXIMIZE, "protocol": "clean", "oracle": False, "log": False,
        "answer": SimpleNamespace(winner=None), "results": rows,
        "effort": SimpleNamespace(rows=effort) if effort else None,
    }  # fmt: skip
    return SimpleNamespace(**told | fields)


def test_ranks_are_of_medians_and_ties_share_one():
    across = compare_studies(
        [task("1", (0.9, 0.8, 0.7)), task("2", (0.5, 0.5, 0.6)), task("3", (0.9, 0.7, 0.8))]
    )
    assert [[row.cells[k].rank for k in "abc"] for row in across.rows] == [
        [1, 2, 3], [2.5, 2.5, 1], [1, 3, 2],
    ]  # fmt: skip
    assert across.mean_ranks == pytest.approx({"a": 1.5, "b": 2.5, "c": 2.0})
    assert across.ranked == ("a", "c", "b")
    expected = stats.friedmanchisquare([0.9, 0.5, 0.9], [0.8, 0.5, 0.7], [0.7, 0.6, 0.8]).pvalue
    assert across.friedman_p == pytest.approx(expected)


def test_smaller_is_better_where_the_task_says_so():
    across = compare_studies([task("1", (0.9, 0.8), direction=Direction.MINIMIZE)])
    assert across.ranked == ("b", "a")
    assert (across.critical, across.friedman_p) == (None, None)


def test_an_optimizer_that_a_study_lacks_is_shown_and_not_ranked():
    across = compare_studies([task("1", (0.9, 0.8, 0.7)), task("2", (0.9, 0.8, None))])
    assert across.ranked == ("a", "b")
    page = across_page(across)
    assert any("confirmed run of them: C" in warning for warning in page.warnings)
    assert page.sections[0].tables[0].rows[1][-1] == "–"


def test_studies_that_are_all_level_have_no_test():
    across = compare_studies([task("1", (0.5, 0.5, 0.5)), task("2", (0.5, 0.5, 0.5))])
    assert across.friedman_p is None
    assert set(across.mean_ranks.values()) == {2.0}
    assert "none is behind the first" in across_page(across).answer[-1]


def test_who_is_behind_is_told():
    reports = [task(str(i), (0.9, 0.8, 0.7, 0.6)) for i in range(20)]
    (*_, last) = across_page(compare_studies(reports)).answer
    assert "C, D are behind A by more than the critical difference of 1.05" in last


def test_slowdowns_are_over_the_fastest_and_infinite_where_not_reached():
    across = compare_studies(
        [task("1", (0.9, 0.8), (2.0, 8.0)), task("2", (0.9, 0.8), (math.inf, 3.0))]
    )
    assert across.slowdowns == {"a": (1.0, math.inf), "b": (4.0, 1.0)}
    (times,) = [s for s in across_page(across).sections if s.anchor == "times"]
    assert times.tables[0].rows == (
        ("A", "2", "not reached", "1 of 2 tasks"),
        ("B", "8", "3", "1 of 2 tasks"),
    )
    assert [drawn.name for drawn in draw_across(across)] == ["ranks", "profiles"]


def test_oracle_and_clean_numbers_are_warned_of():
    page = across_page(compare_studies([task("1", (0.9, 0.8), oracle=True), task("2", (0.9, 0.8))]))
    assert any("within a row alone" in warning for warning in page.warnings)
    assert page.sections[0].tables[0].rows[0][1] == "accuracy, maximize (oracle)"


@pytest.fixture(scope="module")
def two(studies):
    """Real reports: digits, and the same with another seed."""
    reports = []
    for seed in (3, 4):
        spec = studies.digits_spec(seed=seed, name=f"digits-{seed}")
        reports.append(build_report(spec, studies.digits_trials(spec)))
    return compare_studies(reports)


def test_all_files_are_written_and_read_back(two, tmp_path):
    paths = write_comparison(two, tmp_path, COMPARISON_FORMATS)
    names = [str(path.relative_to(tmp_path)) for path in paths]
    assert names[:3] == ["comparison.md", "figures/ranks.svg", "figures/profiles.svg"]
    assert {"comparison.html", "comparison.csv", "comparison.json", "comparison.tex"} < set(names)
    data = json.loads((tmp_path / "comparison.json").read_text())
    assert data["rows"][0]["winner"] == "adamw"
    assert data["mean_ranks"] == {"ecdsep": 2.0, "adamw": 1.0}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "comparison.csv").read_text())))
    assert [(row["study"], row["optimizer"], float(row["rank"])) for row in rows] == [
        ("digits-3", "ecdsep", 2), ("digits-3", "adamw", 1),
        ("digits-4", "ecdsep", 2), ("digits-4", "adamw", 1),
    ]  # fmt: skip
    page = (tmp_path / "comparison.html").read_text()
    assert page.count("<svg") == 2
    assert len(page) < 100_000
    text = (tmp_path / "comparison.md").read_text()
    assert "AdamW is ahead of every other" in text
    assert "| **0.9658 [0.96" in text.replace("\\", "")


def test_an_unknown_format_writes_nothing(two, tmp_path):
    with pytest.raises(UnknownNameError, match="Known: csv, html"):
        write_comparison(two, tmp_path / "out", ("md", "doc"))
    assert not (tmp_path / "out").exists()


def test_a_median_of_diverged_runs_is_called_so(two):
    row = two.rows[0]
    cell = dataclasses.replace(row.cells["adamw"], median=-math.inf)
    rows = (dataclasses.replace(row, cells={**row.cells, "adamw": cell}), two.rows[1])
    page = across_page(dataclasses.replace(two, rows=rows))
    assert "diverged" in page.sections[0].tables[0].rows[0][-2]
