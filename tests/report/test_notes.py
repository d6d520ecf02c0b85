import dataclasses
import math

import pytest

from ecd_tune.records import Direction, Stage, TrialState
from ecd_tune.report import build_report, render_html, render_markdown


def with_metrics(studies, key, changes, source="best", **fields):
    """The Zakharov study with metrics of one optimizer's confirmation runs replaced."""
    spec = studies.zakharov_spec()
    trials = dict(studies.zakharov_trials(spec))
    name = spec.key(key, Stage.CONFIRM)
    records = iter(changes)
    trials[name] = [
        dataclasses.replace(r, metrics={**r.metrics, **next(records, {})}, **fields)
        if r.source == source
        else r
        for r in trials[name]
    ]
    return build_report(spec, trials, {})


def row_of(report, optimizer, source="best"):
    return next(r for r in report.results if (r.optimizer, r.source) == (optimizer, source))


def test_leaving_the_minimum_is_reported(studies):
    ends = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]
    report = with_metrics(studies, "adam", [{"final": end} for end in ends])
    assert row_of(report, "adam").final.median == 45
    text = "Adam does not stay at its minimum: its runs end at a median of 45."
    assert [s for s in report.answer.sentences if "stay" in s] == [text]


@pytest.mark.parametrize(("factor", "told"), [(9.9, False), (10.1, True)])
def test_threshold_is_ten_times_worse(studies, factor, told):
    low = row_of(with_metrics(studies, "gdm", []), "gdm").summary.median
    report = with_metrics(studies, "gdm", [{"final": factor * low}] * 8)
    assert any("GDM does not stay" in s for s in report.answer.sentences) is told


def test_reference_that_leaves_its_minimum_is_noted(studies):
    report = with_metrics(
        studies, "ecdsep", [{"final": 3.0}] * 8, "paper", state=TrialState.COMPLETE
    )
    text = "ECDSep (paper) does not stay at its minimum: its runs end at a median of 3."
    assert text in report.notes
    assert text not in report.answer.sentences


def test_final_values_of_diverged_runs_are_the_worst(zakharov):
    assert row_of(zakharov, "ecdsep", "paper").final.median == math.inf
    table = next(s for s in render_markdown(zakharov).split("## ") if s.startswith("Results"))
    assert "| Final, median |" in table
    assert "Final: the value at the last step" in table


def test_no_final_value_no_column(digits):
    assert all(row.final is None for row in digits.results)
    assert "Final, median" not in render_markdown(digits)


def test_stop_rule_of_most_runs_is_in_the_answer(studies):
    report = with_metrics(studies, "ecdsep", [{"converged_steps": 7.0}] * 5)
    text = (
        "5 of 8 runs of ECDSep stopped by its stop rule V < ε2: the value is where it stopped, "
        "not the lowest value possible."
    )
    assert row_of(report, "ecdsep").stopped == 5
    assert text in report.answer.sentences
    assert text in report.notes
    assert text in render_markdown(report).replace("\\", "")
    assert "V &lt; ε2" in render_html(report)


def test_stop_rule_of_half_of_the_runs_is_below_the_table(studies):
    report = with_metrics(studies, "ecdsep", [{"converged_steps": 7.0}] * 4)
    assert any(s.startswith("4 of 8 runs of ECDSep stopped") for s in report.notes)
    assert not any("stop rule" in s for s in report.answer.sentences)


def test_on_minibatches_a_run_pauses_and_does_not_end(studies):
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    key = spec.key("ecdsep", Stage.CONFIRM)
    trials[key] = [
        dataclasses.replace(r, metrics={**r.metrics, "converged_steps": 1.0}) for r in trials[key]
    ]
    (note,) = [s for s in build_report(spec, trials, {}).notes if "stop rule" in s]
    assert note.startswith("8 of 8 runs of ECDSep made no update at some steps")


def test_runs_that_were_held_are_counted(studies):
    report = with_metrics(studies, "gdm", [{"held": 0.0}, {"held": 2.0}])
    assert row_of(report, "gdm").held == 1
    (note,) = [s for s in report.notes if "gap" in s]
    assert note.startswith("1 of 8 runs of GDM made no update at some steps")
    assert not any("gap" in s for s in report.answer.sentences)
    winner = with_metrics(studies, "ecdsep", [{"held": 2.0}] * 8)
    assert any(
        s.startswith("8 of 8 runs of ECDSep made no update") for s in winner.answer.sentences
    )


def test_no_notes_without_a_reason(zakharov, digits):
    assert zakharov.direction is Direction.MINIMIZE
    assert len(zakharov.notes) == 1  # the published hyperparameters
    assert digits.notes == ()
