"""The sums of a report's section on cost."""

import dataclasses

import pytest

from ecd_tune.records import RunCost, Stage
from ecd_tune.report import build_report, render_markdown


def priced(trials, seconds=1800.0, energy=0.25, source="TDP", kg_per_kwh=0.475):
    """The same trials, each with a cost."""
    cost = RunCost(seconds, "cpu", energy, source, energy * kg_per_kwh)
    return {
        key: [dataclasses.replace(r, cost=cost) for r in records] for key, records in trials.items()
    }


def make(studies, change=priced, **cost):
    spec = studies.digits_spec(cost=cost)
    return build_report(spec, change(studies.digits_trials(spec)), {})


def paragraphs(report):
    text = render_markdown(report).partition("## Cost")[2].partition("## ")[0]
    return text.partition("**Hours")[0]


def test_sums_by_optimizer_and_stage(studies):
    rows = {(r.optimizer, r.stage): r for r in make(studies, kg_per_kwh=0.4).cost.rows}
    assert len(rows) == 7
    assert rows["ecdsep", Stage.SEARCH].trials == 6
    assert rows["adamw", Stage.CONFIRM].trials == 8
    assert rows["adamw", Stage.CONFIRM].hours == pytest.approx(4.0)
    assert rows["adamw", Stage.CONFIRM].energy_kwh == pytest.approx(2.0)
    assert rows["adamw", Stage.CONFIRM].carbon_kg == pytest.approx(0.8)
    assert rows[None, Stage.SEARCH].trials == 12
    assert rows[None, None].trials == 28
    assert rows[None, None].carbon_kg == pytest.approx(28 * 0.25 * 0.4)


def test_changed_intensity_is_reported(studies):
    same, changed = make(studies), make(studies, region="FRA")
    assert "0.475 kg of CO₂ equivalent (average of the world, 2019" in paragraphs(same)
    assert "When they ran" not in paragraphs(same)
    assert "0.056 kg of CO₂ equivalent (average of France, 2023)" in paragraphs(changed)
    assert "the trials recorded 3.32 kg" in paragraphs(changed)  # 28 * 0.25 * 0.475 = 3.325
    assert changed.cost.rows[-1].carbon_kg == pytest.approx(28 * 0.25 * 0.056)


def test_measured_and_estimated_trials_are_separate(studies):
    def change(trials):
        first, *rest = trials
        return {
            **priced({k: trials[k] for k in rest}),
            **priced({first: trials[first]}, source="RAPL"),
        }

    text = paragraphs(make(studies, change))
    assert "measured for 6 trials (RAPL); estimated as power × time (TDP) for 22 trials" in text


def test_trials_without_costs_are_not_counted_as_zero(studies):
    def change(trials):
        first, *rest = trials
        return {**priced({k: trials[k] for k in rest}), first: trials[first]}

    report = make(studies, change)
    total = report.cost.rows[-1]
    assert (total.trials, total.uncounted) == (28, 6)
    assert total.energy_kwh == pytest.approx(22 * 0.25)
    assert report.cost.rows[0].energy_kwh is None
    assert "not counted for 6 trials" in paragraphs(report)
    assert "| ECDSep | search | 6 | 0.0025 | – | – |" in render_markdown(report)


def test_offset_gives_gross_and_net(studies):
    report = make(studies, offset=0.75, kg_per_kwh=1.0)
    assert report.cost.rows[-1].carbon_kg == pytest.approx(7.0)
    text = render_markdown(report)
    assert "Net of the offset" in text
    assert "| All | all | 28 | 14 | 7 | 7 | 1.75 |" in text
    assert "of which 75 % are offset" in text


def test_an_empty_study_cost_nothing(studies):
    report = build_report(studies.digits_spec(), {}, {})
    assert [row.hours for row in report.cost.rows] == [0.0] * 7
    assert report.cost.recorded_kg is None
