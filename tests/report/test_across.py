"""Comparison of studies: ranks, critical difference, time to target, and files."""

import csv
import dataclasses
import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ecd_tune.errors import UnknownNameError
from ecd_tune.records import Direction, TrialState
from ecd_tune.report import COMPARISON_FORMATS, build_report, compare_studies, write_comparison
from ecd_tune.report.model.across.attempts import count_attempts, expected_attempts
from ecd_tune.report.model.across.profiles import MOST_TIMES, profile_times
from ecd_tune.report.model.across.studies import critical_difference
from ecd_tune.report.render.figures.across import draw_across
from ecd_tune.report.render.markdown import set_markdown
from ecd_tune.report.words.across import across_page
from tests.report.stand_ins import task


@pytest.mark.parametrize(
    ("k", "q"),
    # Table 5(a) of Demšar, JMLR 7 (2006): critical values of the two-tailed Nemenyi test at .05.
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)],
)
def test_critical_difference_matches_the_published_table(k, q):
    for tasks in (2, 14):
        expected = q * math.sqrt(k * (k + 1) / (6 * tasks))
        assert critical_difference(k, tasks) == pytest.approx(expected, rel=5e-4)


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
    assert any("confirmed runs of them: C" in warning for warning in page.warnings)
    assert page.sections[0].tables[0].rows[1][-1] == "–"


def test_no_test_if_all_are_equal():
    across = compare_studies([task("1", (0.5, 0.5, 0.5)), task("2", (0.5, 0.5, 0.5))])
    assert across.friedman_p is None
    assert set(across.mean_ranks.values()) == {2.0}
    assert "none is behind the first" in across_page(across).answer[-1]


def test_too_few_tasks_for_a_difference_of_ranks_are_reported():
    reports = [task(str(i), (0.9, 0.8, 0.7, 0.6)) for i in range(20)]
    few, enough = (across_page(compare_studies(reports[:n])).answer[-1] for n in (2, 3))
    assert few.endswith("difference of 3.32 (Nemenyi, 5 %; with so few tasks none could be).")
    assert enough.endswith("difference of 2.71 (Nemenyi, 5 %).")


def test_columns_and_rows_of_optimizers_are_in_the_order_of_their_ranks():
    reports = [task(str(i), (0.7, 0.9, 0.8), (1.0, 8.0, 3.0)) for i in range(3)]
    sections = {s.anchor: s.tables for s in across_page(compare_studies(reports)).sections}
    assert sections["results"][0].header == ("Task", "Metric", "B", "C", "A")
    assert [row[0] for row in sections["ranks"][0].rows] == ["B", "C", "A"]
    # Fast is first where time is the result.
    assert [row[0] for row in sections["times"][0].rows] == ["A", "C", "B"]


def test_protocols_have_a_column_if_they_differ():
    reports = [task("1", (0.9, 0.8)), task("2", (0.9, 0.8), protocol="paper", oracle=True)]
    (table,) = across_page(compare_studies(reports)).sections[0].tables
    assert [row[:3] for row in table.rows] == [
        ("Task 1", "accuracy ↑", "clean"), ("Task 2", "accuracy ↑ (oracle)", "paper"),
    ]  # fmt: skip
    assert "Protocol: clean, paper." in table.note


def test_optimizers_behind_are_named():
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
        ("A", "2", "not reached", "1 of 2 tasks", "0.50"),
        ("B", "8", "3", "1 of 2 tasks", "0.50"),
    )
    assert [drawn.name for drawn in draw_across(across)] == ["ranks", "profiles"]


def test_mixed_protocols_give_a_warning():
    page = across_page(compare_studies([task("1", (0.9, 0.8), oracle=True), task("2", (0.9, 0.8))]))
    assert any("only within a row" in warning for warning in page.warnings)
    assert page.sections[0].tables[0].rows[0][1] == "accuracy ↑ (oracle)"


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
    with pytest.raises(UnknownNameError, match="known: csv, html"):
        write_comparison(two, tmp_path / "out", ("md", "doc"))
    assert not (tmp_path / "out").exists()


def test_median_of_diverged_runs_is_labelled(two):
    row = two.rows[0]
    cell = dataclasses.replace(row.cells["adamw"], median=-math.inf)
    rows = (dataclasses.replace(row, cells={**row.cells, "adamw": cell}), two.rows[1])
    page = across_page(dataclasses.replace(two, rows=rows))
    assert "diverged" in page.sections[0].tables[0].rows[0][-2]


def test_leaving_a_task_out_gives_the_ranks_of_the_others():
    tasks = [task("1", (0.9, 0.8)), task("2", (0.5, 0.6)), task("3", (0.9, 0.7))]
    assert compare_studies(tasks[:2]).without == {}
    across = compare_studies(tasks)
    for left in range(3):
        rest = compare_studies([t for i, t in enumerate(tasks) if i != left])
        assert across.without[tasks[left].name] == pytest.approx(rest.mean_ranks)
    (table,) = (t for s in across_page(across).sections for t in s.tables if "without" in t.caption)
    assert [row[:2] for row in table.rows] == [("1", "A, B"), ("2", "A"), ("3", "A, B")]


def test_the_score_is_the_area_below_the_profile():
    # The fastest everywhere; twice as slow; never there.
    found = profile_times({"a": (1.0, 1.0), "b": (2.0, 2.0), "c": (math.inf, 4.0)})
    assert [found[key].score for key in "abc"] == pytest.approx([1.0, 2 / 3, 0.0])
    assert found["a"].low is None  # two tasks cannot be drawn again
    times = np.linspace(1, MOST_TIMES, 30001)
    ratios = np.array([1.3, 2.6, 3.1, math.inf])
    area = np.mean([(ratios <= t).mean() for t in times])
    assert profile_times({"a": tuple(ratios)})["a"].score == pytest.approx(area, abs=1e-3)


def test_interval_of_a_profile_is_a_bootstrap_over_tasks():
    # Shares of tasks done in no time are binomial, and so are the ends of their intervals.
    tasks, done = 20, 12
    profile = profile_times({"a": (1.0,) * done + (math.inf,) * (tasks - done)})["a"]
    low, high = stats.binom(tasks, done / tasks).ppf([0.025, 0.975]) / tasks
    assert (profile.low, profile.high) == pytest.approx((low, high), abs=1 / tasks)
    assert profile.lows[0] == pytest.approx(profile.low)
    level = profile_times({"a": (2.0, 2.0, 2.0)})["a"]
    assert (level.low, level.score, level.high) == pytest.approx((2 / 3,) * 3)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_expected_attempts_is_the_mean_of_the_negative_hypergeometric(counts):
    trials, reached = counts
    none_before = [
        math.comb(trials - k, reached) / math.comb(trials, reached) for k in range(trials + 1)
    ]
    assert expected_attempts(trials, reached) == pytest.approx(sum(none_before))


def test_attempts_count_complete_trials_that_reach_what_all_reach():
    def trial(key, value, state=TrialState.COMPLETE, counts=True):
        key = SimpleNamespace(optimizer=key)
        return SimpleNamespace(key=key, value=value, state=state, counts=counts)

    trials = [trial("a", v) for v in (0.9, 0.8, 0.2)] + [trial("b", v) for v in (0.7, 0.6)]
    trials += [trial("a", 0.99, TrialState.PRUNED), trial("b", 0.99, counts=False)]
    report = task("1", (0.9, 0.8), trials=trials)
    found = count_attempts(report, ("a", "b"))
    assert [(t.target, t.reached, t.trials) for t in found.values()] == [(0.7, 2, 4), (0.7, 1, 2)]
    assert [t.expected for t in found.values()] == pytest.approx([5 / 3, 3 / 2])
    assert count_attempts(report, ("a", "c")) == {}
    text = set_markdown(across_page(compare_studies([report])), ())
    assert "1.7 (2 of 4)" in text
