"""What a report shows of a study without confirmation runs."""

from dataclasses import replace

from ecd_tune.report.build import build_report
from ecd_tune.report.words.sections import build_sections
from ecd_tune.spec import parse_study

METRICS = {"single_test_accuracy": 0.5, "last_test_accuracy": 0.25, "train_loss": 1.5}


def figure_2(studies, protocol="paper", runs=0):
    etas = {f"eta-{eta}": {"optimizer": "ecdsep", "title": f"η = {eta}", "space": {"eta": eta}}
            for eta in (1.0, 2.0)}  # fmt: skip
    spec = parse_study(
        {
            "name": "figure",
            "protocol": protocol,
            "task": {"name": "digits"},
            "sampler": {"name": "grid"},
            "budget": {"steps": 1},
            "confirmation": {"runs": runs},
            "optimizers": etas,
        }
    )
    return spec, {
        spec.key(key): [replace(studies.record(spec.key(key), 0, 0.75), metrics=METRICS)]
        for key in etas
    }


def tables(spec, trials):
    return build_sections(build_report(spec, trials))[0].tables


def test_training_loss_and_single_networks_stand_beside_the_value(studies):
    _, table = tables(*figure_2(studies))
    assert table.header[1:3] == ("Value (oracle)", "Best single epoch (oracle)")
    assert table.rows == tuple((f"η = {eta}", "0.75", "0.5", "0.25", "1.5") for eta in (1.0, 2.0))


def test_clean_protocol_does_not_show_the_test_split(studies):
    _, table = tables(*figure_2(studies, "clean"))
    assert table.header == ("Optimizer", "Value", "Training loss, last epoch")


def test_confirmed_runs_take_precedence(studies):
    assert len(tables(*figure_2(studies, runs=1))) == 1


def test_no_empty_sections(studies):
    titles = [section.anchor for section in build_sections(build_report(*figure_2(studies)))]
    assert "comparison" not in titles
    assert {"results", "best", "reproduce"} <= set(titles)
