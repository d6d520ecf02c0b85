"""Rows of optimizers are in the order of their results, or of a value of their own table."""

import dataclasses
from types import SimpleNamespace

import pytest

from ecd_tune.analysis.curves import Band
from ecd_tune.records import RunCost, Stage
from ecd_tune.report import build_report
from ecd_tune.report.model.compare import sort_by_rank
from ecd_tune.report.model.curves import Panel
from ecd_tune.report.words.layout import Table
from ecd_tune.report.words.sections import _curve_table, build_sections


@pytest.fixture(scope="module")
def report(studies):
    """Digits, where AdamW, the second of the file, is first and took the longer time."""
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    for key, seconds in {"ecdsep": 1.0, "adamw": 3.0}.items():
        for stage in (Stage.SEARCH, Stage.CONFIRM):
            name = spec.key(key, stage)
            trials[name] = [
                dataclasses.replace(r, cost=RunCost(seconds, "cpu")) for r in trials[name]
            ]
    lost = trials[spec.key("adamw")]
    for key in ("ecdsep", "adamw"):
        name = spec.key(key)
        trials[name] = [
            *trials[name],
            studies.record(name, len(lost), None, reason="RuntimeError: no memory"),
        ]
    return build_report(spec, trials)


def first_cells(report, caption):
    (table,) = [
        table
        for section in build_sections(report)
        for table in section.tables
        if table.caption.startswith(caption)
    ]
    return list(dict.fromkeys(row[0] for row in table.rows))


@pytest.mark.parametrize(
    "caption",
    ["Search and confirmation", "Best hyperparameters", "Trials of the search", "By reason"],
)
def test_by_the_results(report, caption):
    assert first_cells(report, caption) == ["AdamW", "ECDSep"]


def test_by_hours_and_steps_where_these_are_the_result(report, zakharov):
    assert first_cells(report, "Hours, energy and carbon") == ["ECDSep", "AdamW", "All"]
    steps = [(row.steps, row.seconds) for row in zakharov.effort.rows]
    assert steps == sorted(steps)
    assert len(set(steps)) > 2


def test_by_the_search_where_nothing_is_confirmed(studies):
    spec = studies.digits_spec(confirmation={"runs": 0})
    trials = dict(studies.digits_trials(spec))
    for key, values in {"ecdsep": (0.5,), "adamw": (0.7,)}.items():
        name = spec.key(key)
        trials[name] = [
            dataclasses.replace(r, value=v) for r, v in zip(trials[name], values, strict=False)
        ]
    report = build_report(spec, trials)
    rows = [SimpleNamespace(optimizer=key) for key in (None, "ecdsep", "adamw")]
    assert [row.optimizer for row in sort_by_rank(report, rows)] == ["adamw", "ecdsep", None]


def test_reasons_of_several_searches_are_in_the_order_of_their_optimizers(studies):
    spec = studies.digits_spec(search={"repeats": 2})
    trials = dict(studies.digits_trials(spec))
    for key in ("ecdsep#2", "adamw#2"):
        trials[spec.key(key)] = [studies.record(spec.key(key), 0, None, reason="no memory")]
    report = build_report(spec, trials)
    assert first_cells(report, "By reason") == ["AdamW, search 2", "ECDSep, search 2"]


def test_a_median_is_rounded_to_its_own_interval_beside_a_tiny_one():
    def curve(label, median, spread):
        band = Band((1,), (median,), (median - spread,), (median + spread,), 8, 0)
        return SimpleNamespace(label=label, band=band)

    curves = (curve("a", 1.138e-39, 4e-40), curve("b", 5430370964696794.0, 3e13))
    cells = _curve_table(SimpleNamespace(mark="", budget_unit="steps"), Panel("loss", curves))
    assert cells.rows == (("1", "1.14e-39", "5.4304e+15"),)
    near = (curve("a", 0.97131, 0.002), curve("b", 0.9561, 0.02))
    cells = _curve_table(SimpleNamespace(mark="", budget_unit="steps"), Panel("accuracy", near))
    assert cells.rows == (("1", "0.9713", "0.9561"),)


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        (("6210", "1.03 (low edge)", "true", "–"), True),
        (("diverged", "diverged"), False),
        (("0.1 [0, 1]", "diverged"), True),
        (("10 runs of 20 epochs", "2: node1, node2", "the first 3 trials are drawn"), False),
        (("0.1 (+0.3)", "diverged (+0.1)"), True),
        (("from ×1.6", "could not be", "–"), True),
        (("–", "–"), True),
    ],
)
def test_columns_of_numbers_are_aligned_right(cells, right):
    table = Table("", ("x",), tuple((cell,) for cell in cells))
    assert table.numeric == (right,)
