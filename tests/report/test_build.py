import dataclasses
import math
import re

import pytest

from ecd_tune.records import Direction, Stage, TrialState
from ecd_tune.report import build_report
from ecd_tune.report.model.compare import rank_results, spans_decades
from ecd_tune.report.words.answer import format_effect


def test_rows_stand_in_the_studys_order_with_references_beside(zakharov):
    rows = [(row.optimizer, row.source) for row in zakharov.results]
    assert rows == [("ecdsep", "best"), ("ecdsep", "paper"), ("adam", "best"), ("gdm", "best")]


def test_answer_names_the_winner_with_its_numbers(zakharov):
    row = zakharov.results[0]
    first = zakharov.answer[0]
    assert first.startswith("ECDSep is best on the task “Zakharov function”")
    assert "over 8 random starts" in first
    assert f"the median is {row.summary.median:.3e} (quartiles" in first
    assert "0 of 8 runs diverged" in first
    verdict = next(s for s in zakharov.answer if s.startswith("Against Adam"))
    assert "better at 8 of 8 seeds" in verdict
    assert "times smaller in the median (95 % interval" in verdict
    assert "beyond noise (p = 0.016)" in verdict  # 2 * 2/2**8: Holm over two comparisons


def test_a_tiny_p_value_is_told_by_its_bound(studies):
    spec = studies.zakharov_spec(confirmation={"runs": 40})
    report = build_report(spec, studies.zakharov_trials(spec, runs=40), {})
    verdict = next(s for s in report.answer if s.startswith("Against Adam"))
    assert verdict.endswith("beyond noise (p < 0.0001).")


def test_ratio_interval_holds_the_ratio(zakharov):
    result = zakharov.comparisons[0].result
    assert zakharov.log
    assert result.median_interval.low <= result.median <= result.median_interval.high


@pytest.mark.parametrize("study", ["zakharov", "digits"])
@pytest.mark.parametrize("swap", [False, True])
def test_effect_is_told_in_its_own_direction(study, swap, request):
    report = request.getfixturevalue(study)
    for row in report.comparisons:
        text = format_effect(row, swap, report.direction)
        found = re.findall(r"\d+(?:\.\d+)?(?:e[-+]\d+)?", text.replace("95 % interval", ""))
        if not math.isinf(row.result.median):
            size, low, high = map(float, found)
            assert 0 < low <= size <= high
            assert ("smaller" in text) is ((row.result.median < 0) is not swap)


def test_a_losing_ecdsep_is_said_to_lose(digits):
    assert digits.answer[0].startswith("AdamW is best")
    assert "ECDSep is not the best here: it ranks 2 of 2." in digits.answer
    assert "over 8 fresh seeds" in digits.answer[0]
    assert "test accuracy" in digits.answer[0]


def test_published_hyperparameters_stand_in_one_note(zakharov):
    (sentence,) = [s for s in zakharov.notes if "published" in s]
    assert sentence.endswith("same seeds: ECDSep (paper) none (5 of 8 runs diverged).")
    assert not any("paper" in s for s in zakharov.answer)


def test_the_others_stand_in_one_sentence_in_their_order(zakharov):
    (sentence,) = [s for s in zakharov.answer if s.startswith("The others")]
    adam, gdm = (f"{zakharov.results[i].summary.median:.3e}" for i in (2, 3))
    assert sentence.startswith(f"The others' medians: Adam {adam}, GDM ")
    assert float(sentence.rsplit(" ", 1)[1].rstrip(".")) == pytest.approx(float(gdm), rel=1e-3)


def test_share_diverged_and_ranked_as_worst(zakharov):
    paper = zakharov.results[1]
    assert (paper.confirmed.diverged, paper.summary.runs) == (5, 8)
    assert paper.summary.median == math.inf
    assert math.isfinite(paper.reached.median)
    assert zakharov.results[0].reached is None


def test_complete_study_has_no_warnings(zakharov):
    assert zakharov.warnings == ()


def test_nothing_yet(studies):
    report = build_report(studies.zakharov_spec(), {}, {})
    assert report.answer == (
        "There is no answer yet: no trial of the search has ended with a value.",
    )
    assert "The search of ECDSep is incomplete: 0 of 12 trials." in report.warnings
    text = "Adam has no complete trial in the search, so nothing can be confirmed."
    assert text in report.warnings
    assert report.curves == report.best == report.reasons == ()


def test_search_alone_gives_no_confirmed_answer(studies):
    spec = studies.zakharov_spec()
    trials = studies.zakharov_trials(spec)
    search = {key: t for key, t in trials.items() if key.stage is Stage.SEARCH}
    report = build_report(spec, search, {})
    assert report.answer[0].startswith("There is no confirmed answer yet. Best so far")
    # In the order of merit: ECDSep, Adam, GDM.
    places = [report.answer[0].index(name) for name in ("ECDSep", "Adam", "GDM")]
    assert places == sorted(places)
    assert "The confirmation of Adam is incomplete: 0 of 8 runs." in report.warnings


def test_incomplete_confirmation_is_counted(studies):
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    key = spec.key("adamw", Stage.CONFIRM)
    trials[key] = trials[key][:2]
    report = build_report(spec, trials, {})
    assert "The confirmation of AdamW is incomplete: 2 of 8 runs." in report.warnings
    row = next(row for row in report.results if row.optimizer == "adamw")
    assert row.summary.median_interval is row.summary.mean_interval is None
    verdict = next(s for s in report.answer if s.startswith("Against"))
    assert "2 of 2 seeds" in verdict
    assert "not beyond noise" in verdict
    assert "with so few seeds it could not be" in verdict


def test_older_runs_are_left_out_and_counted(studies):
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    key = spec.key("adamw")
    better = studies.record(key, 6, 0.999, params={"lr": 0.05})
    trials[key] = [*trials[key], better]
    report = build_report(spec, trials, {})
    row = next(row for row in report.results if row.optimizer == "adamw")
    assert (row.search_trial, row.summary, row.confirmed.outdated) == (6, None, 8)
    text = "8 older confirmation runs of AdamW used other hyperparameters and are left out."
    assert text in report.warnings
    assert any("7 finished trials, more than the 6 planned" in w for w in report.warnings)
    assert report.answer[0].startswith("ECDSep is the only optimizer with confirmed runs")


def test_failed_runs_count_as_worst_with_a_warning(studies):
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    key = spec.key("adamw", Stage.CONFIRM)
    broken = dataclasses.replace(
        trials[key][0], state=TrialState.FAIL, value=None, metrics={}, reason="no memory"
    )
    trials[key] = [broken, *trials[key][1:]]
    report = build_report(spec, trials, {})
    row = next(row for row in report.results if row.optimizer == "adamw")
    assert (row.confirmed.failed, row.summary.mean) == (1, None)
    assert any("1 confirmation runs of AdamW failed" in w for w in report.warnings)
    assert [g.reason for g in report.reasons] == ["no memory"]


def test_all_diverged_is_no_win(studies):
    spec = studies.zakharov_spec()
    trials = dict(studies.zakharov_trials(spec))
    for key in spec.optimizers:
        name = spec.key(key, Stage.CONFIRM)
        trials[name] = [dataclasses.replace(r, state=TrialState.PRUNED) for r in trials[name]]
    report = build_report(spec, trials, {})
    assert report.answer[0].startswith("No optimizer holds a value in half of its runs")
    assert all(c.result.ties == 8 and not c.beyond_noise for c in report.comparisons)


def test_oracle_label_is_for_the_papers_protocol_on_learning_tasks(studies, zakharov, digits):
    spec = studies.digits_spec(protocol="paper")
    report = build_report(spec, studies.digits_trials(spec), {})
    assert report.oracle
    assert not zakharov.oracle
    assert not digits.oracle
    assert "no test split" in zakharov.protocol_text
    numbers = [s for s in report.answer if "median" in s]
    assert numbers
    assert all("(oracle)" in sentence for sentence in numbers)


def test_baseline_is_ecdsep_or_the_first(studies):
    spec = studies.zakharov_spec()
    assert build_report(spec, {}, {}).baseline == "ecdsep"
    others = spec.with_overrides(optimizers=("adam", "gdm"))
    report = build_report(others, studies.zakharov_trials(spec), {})
    assert report.baseline == "adam"
    assert [c.first_optimizer for c in report.comparisons] == ["gdm"]
    assert any(s.startswith("Against GDM") for s in report.answer)


def test_ranking_prefers_fewer_diverged_runs_between_equal_medians(zakharov):
    ranked = rank_results(zakharov.results, Direction.MINIMIZE)
    assert [row.optimizer for row in ranked] == ["ecdsep", "adam", "gdm"]
    paper = dataclasses.replace(zakharov.results[1], source="best", optimizer="other")
    worse = dataclasses.replace(paper, confirmed=dataclasses.replace(paper.confirmed, diverged=7))
    assert rank_results([worse, paper], Direction.MINIMIZE) == [paper, worse]


def test_negative_or_narrow_values_are_compared_by_difference(digits, zakharov):
    assert spans_decades(zakharov.results)
    assert not spans_decades(digits.results)


def test_progress_and_circumstances(zakharov):
    row = zakharov.progress[0]
    counts = row.counts
    assert (counts.complete, counts.diverged, counts.failed, counts.lost) == (9, 2, 1, 1)
    assert row.seconds == pytest.approx(13 * 1.5)
    assert row.elapsed == pytest.approx(2 * 12 + 1.5)
    assert row.rate == pytest.approx(12 / 25.5)
    assert zakharov.setup.command == "ecd-tune run zakharov-small --trials 12 --seed 0"
    assert zakharov.setup.facts["Budget"] == "12 trials per optimizer, 250 iterations each"
    assert zakharov.setup.facts["Confirmation seeds"].startswith("500000 to 500007")


def test_command_may_be_given(studies):
    report = build_report(studies.zakharov_spec(), {}, {"command": "make it", "host": "h"})
    assert report.setup.command == "make it"
    assert report.setup.environment == {"host": "h"}


def test_reasons_group_by_text_without_numbers(zakharov):
    found = [(g.stage, g.reason, g.count) for g in zakharov.reasons]
    assert (Stage.SEARCH, "loss became nan at iteration N", 2) in found
    assert (Stage.CONFIRM, "loss became nan at iteration N", 5) in found
    assert not any("vanished" in reason for _, reason, _ in found)


def test_fixed_and_default_values_are_listed(zakharov):
    rows = {(r.optimizer, r.name): r for r in zakharov.setup.spaces}
    assert rows["ECDSep", "lr"].searched
    assert (rows["ECDSep", "s"].allowed, rows["ECDSep", "s"].searched) == ("= 1", False)
    assert rows["Adam", "beta2"].allowed == "= 0.999 (default)"


def test_a_smoke_run_says_so_first(studies):
    spec = studies.zakharov_spec(smoke="Cora stands in for ogbn-arxiv")
    report = build_report(spec, studies.zakharov_trials(spec), {})
    assert report.answer[0].startswith("This is a smoke run")
    assert "Cora stands in for ogbn-arxiv" in report.answer[0]
    assert report.answer[1].startswith("ECDSep is best")
