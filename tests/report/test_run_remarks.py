"""Remarks on runs are in every format of the report, per optimizer."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from ecd_tune.optim.monitoring.remarks import FLAGS
from ecd_tune.records import Curve, Stage
from ecd_tune.report import build_report, render_html, render_json, render_markdown
from ecd_tune.report.render.terminal import render_summary

RIGHT = {"hot": 0.0, "slow": 0.0, "plateau": 0.0, "share_hot": 0.1}


def report_of(studies, flags, best=None, title="ECDSep", **more):
    """Zakharov with what the search trials of ECDSep say; the best one says ``best``."""
    spec = studies.zakharov_spec()
    optimizers = dict(spec.optimizers)
    optimizers["ecdsep"] = optimizers["ecdsep"].model_copy(update={"title": title})
    spec = spec.model_copy(update={"optimizers": optimizers})
    trials = dict(studies.zakharov_trials(spec))
    key = spec.key("ecdsep")
    number = next(b.trial for b in build_report(spec, trials, {}).best if b.optimizer == "ecdsep")
    said = iter(flags)
    trials[key] = [
        dataclasses.replace(
            r, metrics=RIGHT | (best or {} if r.number == number else next(said, {})) | more
        )
        for r in trials[key]
    ]
    return build_report(spec, trials, studies.environment)


def terminal(report):
    text = io.StringIO()
    Console(file=text, width=400, color_system=None).print(render_summary(report))
    return text.getvalue()


def test_hot_trials_are_counted(studies):
    report = report_of(studies, [{"hot": 1.0}] * 9)
    (sentence,) = report.remarks
    assert sentence.startswith(
        "ECDSep: 9 of 12 trials were hot (V above 𝓔 in more than half of the steps, "
    )
    assert sentence.endswith("search a smaller lr.")
    for text in (render_markdown(report), render_html(report), terminal(report)):
        assert "9 of 12 trials were hot" in text
        assert "V above 𝓔" in text
    assert json.loads(render_json(report))["remarks"] == [sentence]


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize(("count", "told"), [(0, False), (2, False), (3, True)])
def test_a_quarter_of_the_trials_is_the_bound(studies, flag, count, told):
    report = report_of(studies, [{flag: 1.0}] * count)
    assert len(report.remarks) == told
    assert all(f"{count} of 12 trials" in sentence for sentence in report.remarks)


def test_remark_on_the_best_trial(studies):
    best = {"plateau": 1.0, "plateau_gap": 0.6712, "plateau_floor": 1.9}
    report = report_of(studies, [], best)
    assert report.remarks == (
        "ECDSep: the best trial's loss stopped up to D/(η_eff − 1) = 0.67 above its floor "
        "(at least 1.9); a larger eta or F0 may be better.",
    )
    for flag, word in (("hot", "smaller lr"), ("slow", "larger lr")):
        (sentence,) = report_of(studies, [], {flag: 1.0}).remarks
        assert "the best trial was" in sentence
        assert word in sentence


def test_good_runs_and_silent_optimizers_have_no_section(studies, zakharov):
    for report in (report_of(studies, []), zakharov):
        assert report.remarks == ()
        for text in (render_markdown(report), render_html(report)):
            assert "How the runs went" not in text


def test_interrupted_attempts_do_not_count(studies):
    # The thirteenth record is an attempt that was lost.
    report = report_of(studies, [{}] * 11 + [{"hot": 1.0}])
    assert report.remarks == ()


def test_titles_are_escaped_for_each_form(studies):
    title = "<b>*ECD* [red]|</b>"
    report = report_of(studies, [{"hot": 1.0}] * 9, title=title)
    assert report.remarks[0].startswith(title)
    assert "&lt;b&gt;*ECD* [red]|&lt;/b&gt;: 9 of 12" in render_html(report)
    assert "<b>" not in render_html(report)
    assert r"\<b\>\*ECD\* \[red\]\|\</b\>: 9 of 12" in render_markdown(report)
    assert f"! {title}: 9 of 12" in terminal(report)


def test_numbers_that_are_missing_are_dashes(studies):
    (sentence,) = report_of(studies, [], {"plateau": 1.0}).remarks
    assert "= – above its floor (at least –)" in sentence


def remark_on_training(studies, **untrained):
    """Return the remark on trials that trained, with this many of each optimizer that did not."""
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    for key, bad in untrained.items():
        name = spec.key(key)
        # .15 is a sixteenth of the way from .1 to .9.
        trials[name] = [
            dataclasses.replace(
                r, value=0.15 if i < bad else 0.9, curves={"metric": Curve((0, 1), (0.1, 0.9))}
            )
            for i, r in enumerate(trials[name])
        ]
    (sentence,) = [s for s in build_report(spec, trials).remarks if "trained" in s]
    return sentence


def test_trials_that_did_not_train_are_counted(studies):
    # One of six trials is less than a quarter.
    sentence = remark_on_training(studies, ecdsep=2, adamw=1)
    assert sentence.startswith("ECDSep: 4 of 6 trials trained at all; ")


def test_hot_confirmed_runs_are_counted_with_their_steps(studies):
    spec = studies.zakharov_spec()
    trials = dict(studies.zakharov_trials(spec))
    name = spec.key("ecdsep", Stage.CONFIRM)
    shares = iter([0.6, 0.7, 0.9])
    trials[name] = [
        dataclasses.replace(r, metrics={**r.metrics, "hot": 1.0, "share_hot": share})
        if r.source == "best" and (share := next(shares, None))
        else r
        for r in trials[name]
    ]
    assert build_report(spec, trials).remarks == (
        "ECDSep: 3 of 8 confirmed runs were hot (V above 𝓔 in a median of 70 % of the steps).",
    )


def test_best_value_at_an_edge_is_reported(studies):
    spec = studies.zakharov_spec()
    key = spec.key("adam")
    trials = {key: [studies.record(key, 0, 1.0, params={"lr": 9900.0, "beta1": 0.8})]}
    assert build_report(spec, trials).remarks == (
        "Adam: the best lr, 9900, is at the high edge of the searched range, [0.01, 10000] log; "
        "a wider range may be better, unless it is a limit of the hyperparameter.",
    )


def test_optimizers_with_the_same_finding_share_a_sentence(studies):
    sentence = remark_on_training(studies, ecdsep=2, adamw=3)
    assert sentence.startswith("ECDSep 4 of 6 trials, AdamW 3 of 6 trials trained at all; ")


def test_several_best_values_at_edges_share_a_sentence(studies):
    spec = studies.zakharov_spec()
    key = spec.key("adam")
    trials = {key: [studies.record(key, 0, 1.0, params={"lr": 9900.0, "beta1": 0.999})]}
    (sentence,) = build_report(spec, trials).remarks
    assert sentence.startswith("Adam: 2 best values are at an edge of the searched range: lr, 9900")
    assert "(high edge of [0.01, 10000] log); beta1, " in sentence
    assert sentence.endswith("unless these are limits of the hyperparameters.")
