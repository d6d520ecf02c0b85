"""Predicted sensitivity to single hyperparameters around the best trial."""

import dataclasses
import math

import numpy as np
import pytest

from ecd_tune.analysis.surrogate import fit_surrogate
from ecd_tune.records import Cause, TrialState
from ecd_tune.report import build_report
from ecd_tune.report.words.sections import build_sections

SPACE = {
    "lr": {"low": 1e-4, "high": 1e2, "log": True},
    "beta1": {"low": 0.5, "high": 0.9},
    "amsgrad": [True, False],
}


def bowl(params):
    """Best at lr = 0.1; with amsgrad all is a hundred times worse; beta1 says nothing."""
    return 10 ** ((math.log10(params["lr"]) + 1) ** 2 + 2 * params["amsgrad"] - 9)


def make(studies, value, trials=80, **changes):
    """A report on one optimizer whose trials have the value of a function."""
    spec = studies.zakharov_spec(
        budget={"trials": trials, "steps": 250},
        confirmation={"runs": 0},
        optimizers={"adam": {"space": SPACE}},
        checks=[],
    )
    rng, space = np.random.default_rng(3), spec.optimizers["adam"].space
    key = spec.key("adam")
    points = [space.draw(rng) for _ in range(trials)]
    records = [studies.record(key, i, value(point), params=point) for i, point in enumerate(points)]
    return spec, records


def report_of(spec, records):
    return build_report(spec, {spec.key("adam"): records}, {})


@pytest.fixture(scope="module")
def told(studies):
    report = report_of(*make(studies, bowl))
    (entry,) = report.sensitivity
    return report, entry, {row.name: row for row in entry.rows}


def test_important_hyperparameter_comes_first(told):
    report, entry, rows = told
    assert entry.trials == 80
    assert entry.agreement > 0.9
    assert 0 < entry.error < 0.15
    assert [row.name for row in entry.rows][-1] == "beta1"
    best = report.best[0].values
    low, high = rows["lr"].tolerated
    assert 1e-3 < low <= best["lr"] <= high < 10
    values = [r.params["beta1"] for r in report.trials]
    assert rows["beta1"].tolerated == (min(values), max(values))
    assert rows["amsgrad"].tolerated is None
    assert rows["amsgrad"].values == ()


def test_an_optimizer_with_fixed_values_alone_is_reported_without_a_model(studies):
    spec = studies.zakharov_spec(
        budget={"trials": 30, "steps": 250},
        confirmation={"runs": 0},
        optimizers={"adam": {"space": {"lr": 0.1}}},
        checks=[],
    )
    records = [studies.record(spec.key("adam"), i, 1.0 + i, params={"lr": 0.1}) for i in range(30)]
    (entry,) = report_of(spec, records).sensitivity
    assert (entry.trials, entry.agreement, entry.rows) == (30, None, ())


def test_changes_are_factors_or_shares_of_the_range(told):
    report, entry, rows = told
    best = report.best[0].values
    assert [(m.by, m.value) for m in rows["lr"].moves] == [
        ("÷3", best["lr"] / 3), ("×3", best["lr"] * 3)
    ]  # fmt: skip
    for move in rows["beta1"].moves:
        assert abs(move.value - best["beta1"]) == pytest.approx(0.04)
        assert move.by[1:] == "0.04"
    assert [(m.by, m.value) for m in rows["amsgrad"].moves] == [("", True)]
    # 100 times worse in truth; a forest of ranks keeps the order and some of the size.
    assert rows["amsgrad"].moves[0].predicted > 5 * entry.at_best


def test_the_line_is_lowest_near_the_best(told):
    _, _, rows = told
    values, predicted = rows["lr"].values, rows["lr"].predicted
    assert list(values) == sorted(values)
    lowest = values[int(np.argmin(predicted))]
    assert 0.01 < lowest < 1
    assert predicted[0] > 100 * min(predicted) < predicted[-1]


def test_the_table_has_it_with_the_agreement(told):
    report, entry, _ = told
    section = next(s for s in build_sections(report) if s.anchor == "best")
    table = section.tables[1]
    assert table.caption.startswith("Sensitivity around the best")
    cells = {row[1]: row[2:] for row in table.rows}
    assert cells["lr"][0].endswith(" (÷3)")
    assert cells["lr"][1].endswith(" (×3)")
    assert cells["amsgrad"][0] == "–"
    assert cells["amsgrad"][1].endswith(" (true)")
    assert f"Adam {entry.agreement:.2f}, error {100 * entry.error:.0f} % of the ranks" in table.note


def test_no_sensitivity_of_noise(studies):
    rng = np.random.default_rng(0)
    report = report_of(*make(studies, lambda _: float(rng.random())))
    (entry,) = report.sensitivity
    assert abs(entry.agreement) < 0.5
    assert (entry.at_best, entry.rows) == (None, ())
    section = next(s for s in build_sections(report) if s.anchor == "best")
    assert len(section.tables) == 1
    (text,) = section.closing
    assert f"Adam {entry.agreement:.2f}, below 0.5: no prediction" in text


def test_few_trials_have_no_model(studies):
    report = report_of(*make(studies, bowl, trials=29))
    (entry,) = report.sensitivity
    assert (entry.trials, entry.agreement, entry.rows) == (29, None, ())
    section = next(s for s in build_sections(report) if s.anchor == "best")
    assert (len(section.tables), section.closing) == (1, ())


def test_where_trials_diverge_that_is_predicted(studies):
    spec, records = make(studies, bowl)
    records = [
        # However good the value before its end.
        dataclasses.replace(r, state=TrialState.PRUNED, value=1e-30, cause=Cause.DIVERGED)
        if r.params["lr"] > 1
        else r
        for r in records
    ]
    (entry,) = report_of(spec, records).sensitivity
    (row,) = (row for row in entry.rows if row.name == "lr")
    assert row.predicted[-1] == math.inf
    assert row.tolerated[1] < 1
    model = fit_surrogate(spec, "adam", records)
    worst = model.predict([{"lr": 50.0, "beta1": 0.7, "amsgrad": False}])[0]
    assert worst > model.predict([{"lr": 0.1, "beta1": 0.7, "amsgrad": False}])[0]


def test_predicted_rank_is_printed_as_a_value(studies):
    spec, records = make(studies, bowl, trials=31)
    model = fit_surrogate(spec, "adam", records)
    ranked = sorted(r.value for r in records)
    for place in (0, 7, 30):
        assert model.value_of(place / 30) == pytest.approx(ranked[place], rel=1e-9)
    assert model.value_of(0.5 / 30) == pytest.approx((ranked[0] + ranked[1]) / 2)
