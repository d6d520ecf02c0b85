"""``[[checks]]``: allowed content, messages, and the unchanged fingerprint."""

import pytest

from ecd_tune.errors import SpecError, UnknownNameError
from ecd_tune.spec import CheckSpec, find_study_check, parse_study

LADDER = {"lr": {"low": 1e-2, "high": 10.0, "log": True}, "eta": {"low": 1.0, "high": 4.0}}
OPTIMIZERS = {
    "ecdsep": {"space": LADDER},
    "ours": {"optimizer": "ecdsep", "space": LADDER},
    "adam": {"space": {"lr": {"low": 1e-4, "high": 1.0, "log": True}}},
}


def study(*checks, optimizers=OPTIMIZERS):
    return study_of({"optimizers": optimizers, "checks": list(checks)})


def study_of(changes):
    table = {
        "name": "small",
        "task": {"name": "zakharov"},
        "budget": {"trials": 10, "steps": 20},
        "optimizers": OPTIMIZERS,
    }
    return parse_study({**table, **changes}, "small.toml")


def test_check_applies_to_matching_optimizers():
    spec = study({"name": "S1", "F_min": 0.5}, {"name": "S8", "optimizer": "ours"}, {"name": "S12"})
    names = {key: [check.name for check in spec.checks_of(key)] for key in spec.optimizers}
    assert names == {"ecdsep": ["S1", "S12"], "ours": ["S1", "S8", "S12"], "adam": ["S12"]}
    (first, _) = spec.checks_of("ecdsep")
    assert first.optimizer == "ecdsep"
    assert first.options == {"F_min": 0.5}
    assert first.expects == "supported"


@pytest.mark.parametrize(
    ("checks", "measure"),
    [([], False), ([{"name": "S12"}], False), ([{"name": "S12"}, {"name": "S7"}], True)],
)
def test_study_measures_runs_if_a_check_needs_it(checks, measure):
    assert study(*checks).measure is measure


def test_checks_do_not_change_the_fingerprint():
    with_checks, without = study({"name": "S1"}), study()
    assert with_checks.fingerprint("ecdsep") == without.fingerprint("ecdsep")
    assert "checks" not in with_checks.identity("ecdsep")


def test_removing_an_optimizer_removes_its_checks():
    spec = study({"name": "S1", "optimizer": "ours"}, {"name": "S7"})
    assert [c.name for c in spec.with_overrides(optimizers=("ecdsep",)).checks] == ["S7"]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"name": "S99"}, "[checks.0]: name: unknown check of studies 'S99'; did you mean 'S9'?"),
        ({"name": "C04"}, "[checks.0]: name: unknown check of studies 'C04'"),
        ({}, "[checks.0]: name: is missing"),
        ({"name": "S1", "optimizer": "sgd"}, "the study has no such optimizer; known: ecdsep, our"),
        ({"name": "S1", "optimizer": "adam"}, "optimizer = 'adam': has no eta, which S1 needs"),
        (
            {"name": "S1", "f_min": 0},
            "f_min: unknown key of S1; did you mean 'F_min'? Known: name, optimizer, expects,",
        ),
        ({"name": "S1", "F_min": "low"}, "F_min = 'low': must be a number"),
        ({"name": "S5", "curvature": 0.0}, "curvature = 0.0: must be > 0"),
        ({"name": "S1", "expects": "yes"}, "[checks.0]: expects: 'yes': must be one of"),
        ({"name": "S1", "studies": ["zakharov"]}, "studies: S1 uses only one study"),
        (
            {"name": "S9", "studies": ["a"], "fine_tuned": ["b"]},
            "fine_tuned: 'b' is neither this study nor one of its studies",
        ),
    ],
)
def test_wrong_checks_are_refused(check, message):
    with pytest.raises(SpecError) as caught:
        study(check)
    assert message in str(caught.value)
    assert str(caught.value).startswith("small.toml ")


def test_duplicate_check_is_an_error():
    with pytest.raises(SpecError, match=r"\[checks.1\]: S1: declared twice"):
        study({"name": "S1"}, {"name": "S1"})
    assert len(study({"name": "S1"}, {"name": "S1", "F_min": 0.0}).checks) == 2


def test_single_brackets_are_an_error():
    with pytest.raises(SpecError, match=r"checks: is a single table; write \[\[checks\]\]"):
        study_of({"checks": {"name": "S1"}})


def test_check_without_matching_optimizer_is_an_error():
    with pytest.raises(
        SpecError, match="no optimizer of the study has lr, eta, nu, which S2 needs"
    ):
        study({"name": "S2"}, optimizers={"adam": OPTIMIZERS["adam"]})


def test_options_survive_being_stored():
    check = study({"name": "S1", "F_min": 0.5}).checks[0]
    assert CheckSpec.model_validate(check.model_dump(mode="json")) == check


def test_other_names_are_refused():
    with pytest.raises(UnknownNameError, match="unknown check of studies 'S0'"):
        find_study_check("S0")
    assert find_study_check("S2").measured


def test_checks_are_described():
    control = {"name": "S1", "F_min": 0.5, "expects": "refuted"}
    spec = study(control, {"name": "S9", "studies": ["a", "b"]}, {"name": "S7"})
    assert [check.describe() for check in spec.checks] == [
        "S1 (F_min = 0.5, to be refuted)",
        "S9 (with a, b)",
        "S7",
    ]
