"""The answer of a report if no optimizers differ."""

from dataclasses import replace

from ecd_tune.records import Stage
from ecd_tune.report.build import build_report
from ecd_tune.report.model.compare import rank_results
from ecd_tune.report.words.sentences.answer import _claim
from ecd_tune.spec import parse_study


def answer(studies, level):
    spec = studies.digits_spec()
    trials = studies.digits_trials(spec)
    for key in ("ecdsep", "adamw"):
        confirmed = spec.key(key, Stage.CONFIRM)
        trials[confirmed] = [
            replace(record, metrics={"test_accuracy": level[key]}) for record in trials[confirmed]
        ]
    return build_report(spec, trials).answer.sentences[0]


def test_equal_medians_are_called_level(studies):
    text = answer(studies, {"ecdsep": 0.0, "adamw": 0.0})
    assert text.startswith("No winner")
    assert "ECDSep and AdamW cannot be told apart (8 seeds, with equal values for all)" in text
    assert "ahead" in answer(studies, {"ecdsep": 0.5, "adamw": 0.25})


def test_a_single_trial_is_not_the_best_of_many(studies):
    spec = parse_study(
        {
            "name": "one",
            "task": {"name": "digits"},
            "budget": {"trials": 1, "steps": 1},
            "confirmation": {"runs": 0},
            "optimizers": {"sgd": {"space": {"lr": {"low": 0.1, "high": 1.0}}}},
        }
    )
    trials = {spec.key("sgd"): [studies.record(spec.key("sgd"), 0, 0.75, params={"lr": 0.1})]}
    assert build_report(spec, trials).answer.sentences[-1].startswith("Each is a single trial")
    many = spec.with_overrides(trials=2)
    assert "each the best of many trials" in build_report(many, trials).answer.sentences[-1]


def test_a_winner_of_two_says_that_a_third_was_not_confirmed(studies):
    spec = studies.digits_spec()
    report = build_report(spec, studies.digits_trials(spec))
    best, *others = rank_results(report.results, report.direction)
    (pair,) = report.comparisons
    # A winner is second in its pair where both medians are equal and its mean is worse.
    swapped = replace(
        pair,
        first=pair.second,
        second=pair.first,
        first_optimizer=pair.second_optimizer,
        second_optimizer=pair.first_optimizer,
    )
    third = spec.model_copy(
        update={"optimizers": {**spec.optimizers, "sgd": spec.optimizers["adamw"]}}
    )
    for row in (pair, swapped):
        told = _claim(third, best, [best, *others], [row])
        assert "AdamW is ahead of ECDSep, the only other one confirmed, beyond noise" in told
        assert "AdamW is ahead of ECDSep beyond noise" in _claim(spec, best, [best, *others], [row])
