import dataclasses
import itertools
import math
import re
from types import SimpleNamespace

import pytest

from ecd_tune.records import Direction, Origin, Stage, TrialState
from ecd_tune.report import build_report, render_markdown
from ecd_tune.report.model.compare import find_groups, find_winner, rank_results
from ecd_tune.report.words.tables.comparison import format_effect
from ecd_tune.space import Space


def test_rows_keep_the_order_of_the_study(zakharov):
    rows = [(row.optimizer, row.source) for row in zakharov.results]
    assert rows == [("ecdsep", "best"), ("ecdsep", "paper"), ("adam", "best"), ("gdm", "best")]


def test_answer_names_the_winner_with_its_numbers(zakharov):
    row = zakharov.results[0]
    claim, medians, against = zakharov.answer.sentences
    assert claim.startswith(
        "ECDSep is ahead of every other optimizer beyond noise on the task “Zakharov function” "
        # 3 * 2/2**8: all 8 seeds have one sign, and there are 3 pairs of optimizers.
        "(8 random starts, p ≤ 0.023, corrected for 3 comparisons)"
    )
    assert "searched once" in claim
    assert f"ECDSep {row.summary.median:.1e}, quartiles" in medians
    assert "better for 8 of 8 seeds" in against
    assert "times smaller (Hodges-Lehmann estimate, 95 % interval" in against
    assert zakharov.answer.winner == "ecdsep"
    assert zakharov.answer.level == (("ecdsep",), ("adam",), ("gdm",))


def test_tiny_p_value_is_given_as_a_bound(studies):
    spec = studies.zakharov_spec(confirmation={"runs": 40})
    report = build_report(spec, studies.zakharov_trials(spec, runs=40), {})
    assert "(40 seeds, p < 0.0001, corrected" in report.answer.sentences[0]


def runs_of(studies, values):
    """Zakharov with these confirmed values, by optimizer; all else as it is."""
    spec = studies.zakharov_spec()
    trials = dict(studies.zakharov_trials(spec))
    for key, found in values.items():
        name = spec.key(key, Stage.CONFIRM)
        ours = (r for r in trials[name] if r.source == "best")
        trials[name] = [
            dataclasses.replace(r, value=v, metrics={}) for r, v in zip(ours, found, strict=False)
        ]
    return build_report(spec, trials, {})


def test_headline_without_winner_gives_the_detectable_difference(studies):
    near = {"ecdsep": [5, 6, 7, 8, 5, 6, 7, 8], "adam": [6, 5, 8, 7, 6, 5, 8, 7.5]}
    report = runs_of(studies, near | {"gdm": [10, 11, 12, 13, 10, 11, 12, 13]})
    headline, _, behind = report.answer.sentences
    (pair,) = [c for c in report.comparisons if c.ahead is None and c.family == "optimizers"]
    assert headline == (
        "No winner on the task “Zakharov function”: ECDSep and Adam cannot be told apart "
        f"(8 random starts; a difference above {pair.detectable:.2g} would have been detected)."
    )
    assert behind == "Behind ECDSep beyond noise: GDM."
    assert report.answer.winner is None
    assert report.answer.level == (("ecdsep", "adam"), ("gdm",))


def test_a_winner_by_ranks_with_the_worse_median_is_none(studies):
    # Adam finds the minimum from 44 of 100 starts and stops far above it from the others. The test
    # weighs a start by the rank of its difference and favours Adam.
    adam = [0.002 + i / 1e5 for i in range(44)] + [1.5 + i / 1e3 for i in range(56)]
    spec = studies.zakharov_spec(confirmation={"runs": 100, "task": {"start": "uniform"}})
    trials = dict(studies.zakharov_trials(spec, runs=100))
    for key, values in {"ecdsep": [0.58 + i / 1e4 for i in range(100)], "adam": adam}.items():
        name = spec.key(key, Stage.CONFIRM)
        ours = [r for r in trials[name] if r.source == "best"]
        trials[name] = [
            dataclasses.replace(r, value=v, metrics={}) for r, v in zip(ours, values, strict=True)
        ]
    report = build_report(spec, trials, {})
    row = next(c for c in report.comparisons if c.first_optimizer == "ecdsep")
    assert row.second_optimizer == "adam"
    assert row.p_adjusted < 0.05
    assert (row.result.lead, row.result.wins, row.ahead) == (-1, 56, None)
    assert report.answer.winner is None
    assert report.answer.level == (("ecdsep", "adam"), ("gdm",))
    headline, *others = report.answer.sentences
    assert "ECDSep and Adam cannot be ranked (100 random starts)." in headline
    assert (
        f"ECDSep and Adam differ (p = {row.p_adjusted:.2g}), but neither is ahead: the test "
        "favours Adam, and the medians or most seeds ECDSep."
    ) in others
    assert f"p {row.p_adjusted:.2g}; " in render_markdown(report)
    assert "without a \\*" in render_markdown(report)


def test_too_few_seeds_are_reported(studies):
    # Two pairs of 6 seeds: 2 * 2/2**6 = .0625; three are corrected harder still.
    values = {"ecdsep": range(1, 7), "adam": range(11, 17), "gdm": range(21, 27)}
    report = runs_of(studies, values)
    assert report.answer.winner is None
    assert not any(c.possible for c in report.comparisons if c.family == "optimizers")
    assert (
        "too few: no difference can be beyond noise with fewer than 7 ("
        not in report.answer.sentences[0]
    )
    assert report.answer.sentences[0].endswith(
        "(6 random starts; too few: no difference can be beyond noise with fewer than 7)."
    )
    assert "could not be" in render_markdown(report)
    enough = runs_of(studies, {key: [*found, 9 + max(found)] for key, found in values.items()})
    assert enough.answer.winner == "ecdsep"


def compared(*told):
    """Stand-ins for rows and comparisons: optimizer ahead, optimizer behind."""
    names = sorted({name for pair in told for name in pair})
    summary = SimpleNamespace(median=1.0)
    rows = [SimpleNamespace(optimizer=name, summary=summary) for name in names]
    found = [
        SimpleNamespace(
            family="optimizers",
            first_optimizer=one,
            second_optimizer=other,
            ahead=next((a for a, b in told if {a, b} == {one, other} and a != b), None),
        )
        for one, other in itertools.combinations(names, 2)
    ]
    return rows, found


def test_groups_can_overlap():
    rows, found = compared("aa", "bb", "cc", "dd", "ac", "ad", "bd")
    assert find_groups(rows, found) == (("a", "b"), ("b", "c"), ("c", "d"))
    assert find_winner(rows, found) is None
    rows, found = compared("ab", "ac", "cc")
    assert find_groups(rows, found) == (("a",), ("b", "c"))
    assert find_winner(rows, found) == "a"
    assert find_winner(*compared("aa")) is None


def test_ratio_interval_holds_the_ratio(zakharov):
    result = zakharov.comparisons[0].result
    assert zakharov.log
    assert result.effect_interval.low <= result.effect <= result.effect_interval.high


@pytest.mark.parametrize("study", ["zakharov", "digits"])
@pytest.mark.parametrize("swap", [False, True])
def test_effect_has_the_right_direction(study, swap, request):
    report = request.getfixturevalue(study)
    for row in report.comparisons:
        text = format_effect(row, swap, report.direction)
        found = re.findall(r"\d+(?:\.\d+)?(?:e[-+]\d+)?", text.replace("95 % interval", ""))
        if not math.isinf(row.result.effect):
            size, low, high = map(float, found)
            assert 0 < low <= size <= high
            assert ("smaller" in text) is ((row.result.effect < 0) is not swap)


def test_losing_ecdsep_is_reported(digits):
    assert digits.answer.sentences[0].startswith("AdamW is ahead of ECDSep beyond noise")
    assert "(8 seeds, p = 0.0078)" in digits.answer.sentences[0]
    assert digits.answer.sentences[1].startswith("Medians (test accuracy): AdamW")


def test_published_hyperparameters_are_one_note(zakharov):
    (sentence,) = [s for s in zakharov.notes if "published" in s]
    assert sentence.endswith("same seeds: ECDSep (paper) none (5 of 8 runs diverged).")
    assert not any("paper" in s for s in zakharov.answer.sentences)


def test_medians_are_one_ordered_sentence(zakharov):
    (sentence,) = [s for s in zakharov.answer.sentences if s.startswith("Medians")]
    adam, gdm = (f"{zakharov.results[i].summary.median:.1e}" for i in (2, 3))
    assert f"; Adam {adam}; GDM " in sentence
    # Two digits each, as in the table of results, where values span decades.
    assert sentence.endswith(f"; GDM {float(gdm):.2g}.")


def test_diverged_runs_are_counted_and_ranked_last(zakharov):
    paper = zakharov.results[1]
    assert (paper.confirmed.diverged, paper.summary.runs) == (5, 8)
    assert paper.summary.median == math.inf
    assert math.isfinite(paper.reached.median)
    assert zakharov.results[0].reached is None


def test_complete_study_has_no_warnings(zakharov):
    assert zakharov.warnings == ()


def test_trials_on_different_data_are_an_error_and_a_confirmation_may_have_its_own(studies):
    spec = studies.digits_spec()

    def warnings(digests):
        trials = studies.digits_trials(spec)
        marked = {
            key: [dataclasses.replace(r, origin=Origin(digests(key, r))) for r in records]
            for key, records in trials.items()
        }
        return build_report(spec, marked, {}).warnings

    assert not any("different data" in w for w in warnings(lambda key, r: ""))
    assert not any("different data" in w for w in warnings(lambda key, r: key.stage.value))
    (sentence,) = [
        w
        for w in warnings(lambda key, r: "bb" if key.name.endswith("adamw") and r.number else "aa")
        if "different data" in w
    ]
    assert "aa: digits-small/ecdsep 6, digits-small/adamw 1; bb: digits-small/adamw 5" in sentence


def test_empty_study(studies):
    report = build_report(studies.zakharov_spec(), {}, {})
    assert report.answer.sentences == (
        "There is no answer yet: no trial of the search has ended with a value.",
    )
    assert report.warnings == (
        "Not every search is complete: ECDSep 0 of 12, Adam 0 of 12, GDM 0 of 12 trials.",
        "ECDSep, Adam and GDM have no complete trial in the search, so nothing can be confirmed.",
        "The confirmation of ECDSep (paper) is incomplete: 0 of 8 runs.",
    )
    assert report.curves == report.best == report.reasons == ()


def test_search_alone_gives_no_confirmed_answer(studies):
    spec = studies.zakharov_spec()
    trials = studies.zakharov_trials(spec)
    search = {key: t for key, t in trials.items() if key.stage is Stage.SEARCH}
    report = build_report(spec, search, {})
    assert report.answer.sentences[0].startswith("There is no confirmed answer yet. Best so far")
    # In the order of merit: ECDSep, Adam, GDM.
    places = [report.answer.sentences[0].index(name) for name in ("ECDSep", "Adam", "GDM")]
    assert places == sorted(places)
    (warning,) = report.warnings
    assert warning.startswith("Not every confirmation is complete: ECDSep 0 of 8, ")
    assert warning.endswith("GDM 0 of 8 runs.")


def test_incomplete_confirmation_is_counted(studies):
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    key = spec.key("adamw", Stage.CONFIRM)
    trials[key] = trials[key][:2]
    report = build_report(spec, trials, {})
    assert "The confirmation of AdamW is incomplete: 2 of 8 runs." in report.warnings
    row = next(row for row in report.results if row.optimizer == "adamw")
    assert row.summary.median_interval is row.summary.mean_interval is None
    assert report.answer.sentences[0].endswith(
        "AdamW and ECDSep cannot be told apart "
        "(2 seeds; too few: no difference can be beyond noise with fewer than 6)."
    )


def test_older_runs_are_left_out_and_counted(studies):
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    key = spec.key("adamw")
    better = studies.record(key, 6, 0.999, params={"lr": 0.05})
    trials[key] = [*trials[key], better]
    report = build_report(spec, trials, {})
    row = next(row for row in report.results if row.optimizer == "adamw")
    assert (row.search_trial, row.summary, row.confirmed.outdated) == (6, None, 8)
    text = "8 older confirmation runs of AdamW used other hyperparameters and are excluded."
    assert text in report.warnings
    assert any("7 finished trials, more than the 6 planned" in w for w in report.warnings)
    assert report.answer.sentences[0].startswith("ECDSep is the only optimizer with confirmed runs")


def test_optimizer_without_searched_hyperparameters_is_labelled(studies):
    spec = studies.digits_spec()
    own = spec.optimizers["adamw"].model_copy(update={"space": Space({})})
    spec = spec.model_copy(update={"optimizers": {**spec.optimizers, "adamw": own}})
    trials = {
        key: [dataclasses.replace(r, params={}) for r in found]
        if key.optimizer == "adamw"
        else found
        for key, found in studies.digits_trials(spec).items()
    }
    report = build_report(spec, trials, {})
    assert any(w.startswith("No search for AdamW") for w in report.warnings)
    assert not any("nothing can be confirmed" in w for w in report.warnings)
    assert "| AdamW | none searched |" in render_markdown(report)


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
    assert report.answer.sentences[0].startswith("No optimizer has a value in half of its runs")
    assert all(c.result.ties == 8 and not c.beyond_noise for c in report.comparisons)


def test_oracle_label_is_for_the_papers_protocol_on_learning_tasks(studies, zakharov, digits):
    spec = studies.digits_spec(protocol="paper")
    report = build_report(spec, studies.digits_trials(spec), {})
    assert report.oracle
    assert not zakharov.oracle
    assert not digits.oracle
    assert "no test split" in zakharov.protocol_text
    numbers = [s for s in report.answer.sentences if "Medians" in s or "estimate" in s]
    assert numbers
    assert all("(oracle)" in sentence for sentence in numbers)


def test_every_pair_is_compared_the_better_median_first(zakharov):
    pairs = [
        (c.first_optimizer, c.second_optimizer)
        for c in zakharov.comparisons
        if c.family == "optimizers"
    ]
    assert pairs == [("ecdsep", "adam"), ("ecdsep", "gdm"), ("adam", "gdm")]


def test_ranking_prefers_fewer_diverged_runs_between_equal_medians(zakharov):
    ranked = rank_results(zakharov.results, Direction.MINIMIZE)
    assert [row.optimizer for row in ranked] == ["ecdsep", "adam", "gdm"]
    paper = dataclasses.replace(zakharov.results[1], source="best", optimizer="other")
    worse = dataclasses.replace(paper, confirmed=dataclasses.replace(paper.confirmed, diverged=7))
    assert rank_results([worse, paper], Direction.MINIMIZE) == [paper, worse]


def test_negative_or_narrow_values_are_compared_by_difference(digits, zakharov):
    assert zakharov.log
    assert not digits.log
    # Where values span decades, Student's t says nothing of their mean.
    assert all(row.summary.mean_interval is None for row in zakharov.results)


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


def test_command_can_be_given(studies):
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


def test_smoke_run_is_labelled_first(studies):
    spec = studies.zakharov_spec(smoke="Cora stands in for ogbn-arxiv")
    report = build_report(spec, studies.zakharov_trials(spec), {})
    assert report.answer.sentences[0].startswith("This is a smoke run")
    assert "Cora stands in for ogbn-arxiv" in report.answer.sentences[0]
    assert report.answer.sentences[1].startswith("ECDSep is ahead")


def test_equivalence_is_claimed_only_within_a_margin_that_the_study_states(studies, digits):
    assert not any("quivalent" in sentence for sentence in digits.answer.sentences)
    assert all(row.equivalence_p is None for row in digits.comparisons)
    wide = studies.digits_spec(confirmation={"runs": 8, "margin": 0.5})
    report = build_report(wide, studies.digits_trials(wide), {})
    pairs = [row for row in report.comparisons if row.family == "optimizers"]
    assert all(row.equivalent for row in pairs)
    # All of 8 seeds on either side of both ends, corrected for all pairs.
    assert pairs[0].equivalence_p == pytest.approx(len(pairs) * 2.0**-8)
    assert "Equivalent within ±0.5" in " ".join(report.answer.sentences)
    assert "; equivalent, p" in render_markdown(report)
    narrow = studies.digits_spec(confirmation={"runs": 8, "margin": 1e-9})
    report = build_report(narrow, studies.digits_trials(narrow), {})
    assert not any("quivalent within" in sentence for sentence in report.answer.sentences)


def test_fanova_stands_beside_ped_anova(studies):
    spec = studies.zakharov_spec(budget={"trials": 40, "steps": 250, "batch": 4})
    report = build_report(spec, studies.zakharov_trials(spec), {})
    for key in spec.optimizers:
        own = [row for row in report.importance if row.optimizer == key]
        assert math.fsum(row.fanova for row in own) == pytest.approx(1.0)
        assert math.fsum(row.importance for row in own) == pytest.approx(1.0)


def test_tolerated_change_uses_the_scale_of_the_range(studies):
    spec = studies.zakharov_spec(budget={"trials": 40, "steps": 250, "batch": 4})
    report = build_report(spec, studies.zakharov_trials(spec), {})
    rows = {(row.optimizer, row.name): row for row in report.importance}
    low, high = rows["ecdsep", "lr"].good  # drawn in the logarithm from 1e-2 to 1e4
    assert rows["ecdsep", "lr"].good_share == pytest.approx(math.log10(high / low) / 6)
    low, high = rows["ecdsep", "eta"].good
    assert rows["ecdsep", "eta"].good_share == pytest.approx((high - low) / 3)
    share = f"({100 * rows['ecdsep', 'eta'].good_share:.0f} %)"
    assert share in render_markdown(report)
