"""Steps to a target against a manual count, and importances of known functions."""

import dataclasses
import math

import numpy as np
import pytest

from ecd_tune.records import Curve, RunCost, Stage
from ecd_tune.report import build_report, render_markdown


def with_curves(studies, curves):
    """Digits whose confirmed runs have these curves of validation accuracy, by optimizer."""
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    for key, found in curves.items():
        name = spec.key(key, Stage.CONFIRM)
        trials[name] = [
            dataclasses.replace(
                record,
                curves={"metric": Curve(tuple(range(len(values))), values)},
                cost=RunCost(6.0, "cpu"),
                metrics={**record.metrics, "peak_memory_mib": 100.0 + i},
            )
            for i, (record, values) in enumerate(zip(trials[name], found, strict=False))
        ]
    return build_report(spec, trials)


def test_steps_seconds_and_memory_to_what_the_last_optimizer_reaches(studies):
    report = with_curves(
        studies,
        {
            "ecdsep": [(0.1, 0.9, 0.95, 0.9), (0.1, 0.5, 0.97, 0.9), (0.1, 0.5, 0.6, 0.7)],
            "adamw": [(0.1, 0.2, 0.3, 0.9), (0.1, 0.2, 0.3, 0.8), (0.1, 0.2, 0.8, 0.95)],
        },
    )
    # Best values: .95, .97, .7 and .9, .8, .95; the smaller of the two medians is .9.
    assert report.effort.target == 0.9
    ours, other = report.effort.rows
    assert (ours.reached, ours.runs, ours.steps, ours.memory_mib) == (2, 3, 2.0, 101.0)
    assert ours.seconds == pytest.approx(2 / 3 * 6.0)
    assert (other.reached, other.steps, other.seconds) == (2, 3.0, pytest.approx(6.0))
    text = render_markdown(report)
    assert "**Steps and time to a validation accuracy of 0.9**" in text
    assert "| ECDSep | 2 of 3 | 2 | 4 | 101 |" in text


def test_half_of_an_even_number_of_runs_reach_the_target(studies):
    even = [(0.1, 0.8), (0.1, 0.9)]
    report = with_curves(studies, {"ecdsep": even, "adamw": even})
    assert report.effort.target == 0.8
    assert [(row.reached, row.steps) for row in report.effort.rows] == [(2, 1.0)] * 2


def test_target_is_not_reached_if_most_runs_fail(zakharov):
    rows = {row.label: row for row in zakharov.effort.rows}
    assert rows["ECDSep (paper)"].steps == math.inf or rows["ECDSep (paper)"].reached >= 4
    assert rows["GDM"].reached >= 4


def test_no_effort_without_curves(studies):
    assert build_report(studies.zakharov_spec(), {}).effort is None


def searched(studies, trials):
    rng = np.random.default_rng(0)
    space = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "beta1": {"low": 0.5, "high": 0.9}}
    spec = studies.digits_spec(optimizers={"adamw": {"space": space}})
    key = spec.key("adamw")
    drawn = [spec.optimizers["adamw"].space.draw(rng) for _ in range(trials)]
    records = [
        studies.record(key, i, 1 - 0.1 * abs(math.log10(p["lr"]) + 2.5), params=p)
        for i, p in enumerate(drawn)
    ]
    return build_report(spec, {key: records}), records


def test_relevant_hyperparameter_is_the_most_important(studies):
    report, records = searched(studies, 60)
    lr, other = report.importance
    assert (lr.name, lr.log, other.name, other.log) == ("lr", True, "beta1", False)
    assert lr.importance > 0.7
    assert lr.importance + other.importance == pytest.approx(1)
    best = sorted(records, key=lambda r: -r.value)[:6]
    assert lr.good == (min(r.params["lr"] for r in best), max(r.params["lr"] for r in best))


@pytest.mark.parametrize(
    ("choices", "good"), [([1, "share"], None), ([True, False], None), ([1, 2], (1.0, 1.0))]
)
def test_only_choices_of_numbers_have_a_best_range(studies, choices, good):
    space = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "s": {"choices": choices}}
    spec = studies.digits_spec(optimizers={"ecdsep": {"space": {**space, "eta": 2.0}}})
    trials = [
        studies.record(spec.key("ecdsep"), i, 0.9 - i / 1e3, params={"lr": 1e-2, "s": choices[0]})
        for i in range(30)
    ]
    report = build_report(spec, {spec.key("ecdsep"): trials})
    assert {p.name: p.good for p in report.importance}["s"] == good


def test_too_few_trials_have_no_importance(studies):
    report, _ = searched(studies, 19)
    assert [(p.importance, p.good) for p in report.importance] == [(None, None)] * 2
