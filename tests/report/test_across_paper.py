"""Comparison of studies with the paper's printed values: Tables 1 to 5."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from ecd_tune.cli.printed_results import find_printed
from ecd_tune.report import compare_studies
from ecd_tune.report.model.across.averages import average_rows
from ecd_tune.report.model.across.printed import PaperResults, ScalingRow, fit_scaling
from ecd_tune.report.words.across import across_page
from ecd_tune.report.words.across_paper import _difference
from ecd_tune.spec import find_study, load_study
from tests.report.stand_ins import task

ROWS = {
    "cifar100": 1 / 6, "tiny-imagenet": 1 / 6, "imagenet1k": 1 / 6, "ogbn-arxiv": 1 / 6,
    "ogbn-proteins": 1 / 6,
    **dict.fromkeys(("mnli", "qqp", "qnli", "sst2", "cola", "stsb", "mrpc", "rte"), 1 / 48),
}  # fmt: skip
OPTIMIZERS = ("ecdsep", "sgd", "adam", "adamw")


def compare_on_paper_tasks(suffix, names=tuple(ROWS), **fields):
    """Compare stand-ins for studies on the paper's tasks, whose values are 0.51, 0.52, …"""
    found = []
    for number, name in enumerate(names, 1):
        spec = load_study(find_study(f"{name}-{suffix}"))
        report = task(spec.name, (0.5 + number / 100,) * 4, protocol=spec.protocol, **fields)
        for row, key in zip(report.results, OPTIMIZERS, strict=True):
            row.optimizer = row.title = key
        found.append((spec, report))
    return compare_studies([report for _, report in found], find_printed(found))


def test_average_over_the_rows_of_table_1():
    across = compare_on_paper_tasks("paper", oracle=True)
    (average,) = across.averages
    values = [average.values[key] for key in OPTIMIZERS]
    # Table 1, and the same average of the means of the lists in B.2 to B.5.
    assert [v.printed for v in values] == pytest.approx([0.7483, 0.7310, 0.7406, 0.7374])
    listed = [0.748269, 0.728346, 0.741063, 0.738115]
    assert [v.listed for v in values] == pytest.approx(listed, abs=5e-7)
    ours = sum(weight * (0.5 + number / 100) for number, weight in enumerate(ROWS.values(), 1))
    assert [v.ours for v in values] == pytest.approx([ours] * 4)
    (table,) = (s.tables[0] for s in across_page(across).sections if s.anchor == "averages")
    assert table.rows[0] == ("oracle", "ecdsep", "0.5408", "0.7483", "0.7483", "-0.2074")


def test_averages_of_the_clean_protocol_are_labelled_and_have_no_difference():
    across = compare_on_paper_tasks("wide")
    (table,) = (s.tables[0] for s in across_page(across).sections if s.anchor == "averages")
    assert table.rows[0] == ("clean", "ecdsep", "0.5408", "0.7483", "0.7483", "–")


def test_no_average_without_all_rows_and_it_says_which_are_missing():
    across = compare_on_paper_tasks("paper", [name for name in ROWS if name not in ("rte", "cola")])
    assert [(a.missing, a.values) for a in across.averages] == [(("CoLA", "RTE"), {})]
    sections = {section.anchor: section for section in across_page(across).sections}
    assert "averages" not in sections
    (line,) = sections["printed"].closing
    assert line.startswith("No average as in the paper's Table 1 (protocol: paper): it also needs")
    assert "CoLA, RTE, with" in line


def test_no_average_of_two_studies_on_one_row_or_with_other_settings():
    across = compare_on_paper_tasks("paper")
    paper = PaperResults(
        weights={cell.printed.experiment: w for (cell, w) in zip(
            (row.cells["sgd"] for row in across.rows), ROWS.values(), strict=True
        )},
        averages={"sgd": 0.731},
    )  # fmt: skip
    assert average_rows(across.rows, paper)[0].values
    (twice,) = average_rows((*across.rows, across.rows[0]), paper)
    assert (twice.missing, twice.values) == ((), {})
    other = dataclasses.replace(across.rows[0], settings="epochs = 3")
    (without,) = average_rows((other, *across.rows[1:]), paper)
    assert (without.missing, without.values) == (("CIFAR-100",), {})


def test_a_power_of_n_is_fitted_with_students_interval():
    rows = [ScalingRow(str(n), n, lr=3 * n**-0.5, eta=2.0, nu=1e-5) for n in (10.0, 1e3, 1e6)]
    fits = {fit.name: fit for fit in fit_scaling(rows).fits}
    assert (fits["lr"].slope, fits["lr"].low, fits["lr"].high) == pytest.approx((-0.5,) * 3)
    assert fits["eta"].slope == pytest.approx(0.0)
    assert not any(fit.own for fit in fits.values())
    noisy = [
        dataclasses.replace(row, lr=row.lr * f) for row, f in zip(rows, (1, 2, 1), strict=True)
    ]
    fit = fit_scaling(noisy).fits[0]
    line = stats.linregress(np.log([r.n for r in noisy]), np.log([r.lr for r in noisy]))
    half = 12.706 * line.stderr  # Student's t for one degree of freedom
    assert (fit.low, fit.high) == pytest.approx((line.slope - half, line.slope + half), rel=1e-4)
    assert fit_scaling(rows[:2]).fits == ()


def test_printed_values_are_shown_beside_our_means():
    spec = load_study(find_study("ogbn-arxiv-paper"))
    report = task("ogbn-arxiv-paper", (0.7, 0.69), oracle=True, protocol="paper")
    paper = find_printed([(spec, report)])
    printed = paper.values["ogbn-arxiv-paper"]
    # Table 3 and B.4; the list of SGD has another mean than its table.
    assert printed["sgd"].value == pytest.approx(0.7181)
    assert printed["sgd"].mean == pytest.approx(0.71591)
    assert len(printed["ecdsep"].listed) == 10
    assert paper.settings["ogbn-arxiv-paper"] == ""
    for row in report.results:
        row.optimizer = {"a": "ecdsep", "b": "sgd"}[row.optimizer]
    (table,) = (
        t for s in across_page(compare_studies([report], paper)).sections for t in s.tables
        if t.caption == "Means compared with the paper's"
    )  # fmt: skip
    assert table.rows[1][:6] == (
        "ogbn-arxiv-paper (oracle)", "B", "0.69", "0.7181", "0.7159", "-0.0259",
    )  # fmt: skip


@pytest.mark.parametrize("other", [{"oracle": False}, {"settings": "hidden = 8"}])
def test_no_difference_from_the_paper_for_other_protocols_or_settings(other):
    spec = load_study(find_study("ogbn-arxiv-paper"))
    report = task("ogbn-arxiv-paper", (0.7,), oracle=True, protocol="paper")
    paper = find_printed([(spec, report)])
    report.results[0].optimizer = "ecdsep"
    (row,) = compare_studies([report], paper).rows
    assert _difference(row, 0.7, 0.71) == "-0.0100"
    assert _difference(dataclasses.replace(row, **other), 0.7, 0.71) == "–"


def test_other_settings_are_named_and_smoke_forms_have_no_printed_value():
    small = load_study(find_study("sst2-tiny"))
    paper = find_printed([(small, task("sst2-tiny", (0.7,)))])
    assert paper.values["sst2-tiny"]["ecdsep"].value == pytest.approx(0.9266)
    assert "model = tiny" in paper.settings["sst2-tiny"]
    assert paper.scaling == ()  # another network than Table 5's
    smoke = load_study(find_study("ogbn-arxiv-paper"), smoke=True)
    assert find_printed([(smoke, task(smoke.name, (0.7,)))]).values == {}


def test_table_5_has_our_best_values_beside_the_papers():
    spec = load_study(find_study("ogbn-arxiv-wide"))
    best = SimpleNamespace(optimizer="ecdsep", values={"lr": 2.0, "eta": 5.0, "on": True})
    paper = find_printed([(spec, task("ogbn-arxiv-wide", (0.7,), best=(best,)))])
    (row,) = (row for row in paper.scaling if row.study)
    assert (row.name, row.lr, row.eta, row.nu, row.n) == ("ogbn-arxiv", 2.8, 4.5, 1e-5, 2e5)
    assert row.own == {"lr": 2.0, "eta": 5.0}
    assert len(paper.scaling) == 6
    assert find_printed([(load_study(find_study("digits")), task("digits", (0.9,)))]).scaling == ()
