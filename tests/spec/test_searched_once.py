"""lr and delta_energy are equivalent for s = 0, and no study searches both."""

import pytest

from ecd_tune.errors import SpecError
from ecd_tune.spec import parse_study

RANGE = {"low": 1e-2, "high": 1.0, "log": True}


def study(optimizer="ecdsep", **space):
    return parse_study(
        {
            "name": "once",
            "task": {"name": "digits"},
            "budget": {"trials": 2, "steps": 3},
            "optimizers": {optimizer: {"space": {"eta": 3.0, **space}}},
        }
    )


@pytest.mark.parametrize(
    ("space", "remedy"),
    [
        ({"s": 0, "lr": RANGE, "delta_energy": RANGE}, "leave it out"),
        ({"s": 0, "lr": [0.1, 0.2], "delta_energy": [1.0, 4.0]}, "leave it out"),
        ({"s": [1, 0], "lr": RANGE, "delta_energy": RANGE}, "give it when = { s = [1] }"),
        (
            {"s": [1, 0], "lr": RANGE, "delta_energy": {**RANGE, "when": {"s": [0]}}},
            "give it when = { s = [1] }",
        ),
    ],
)
def test_a_space_that_searches_both_is_refused(space, remedy):
    with pytest.raises(SpecError) as error:
        study(**space)
    text = str(error.value)
    assert "[optimizers.ecdsep.space]: delta_energy: with s = 0, c·lr with c²·delta_energy" in text
    assert remedy in text


@pytest.mark.parametrize(
    "space",
    [
        {"lr": RANGE, "delta_energy": RANGE},  # s is 1 by default
        {"s": 1, "lr": RANGE, "delta_energy": RANGE},
        {"s": 0, "lr": RANGE, "delta_energy": 2.0},
        {"s": 0, "lr": 0.1, "delta_energy": RANGE},
        {"s": [1, 0], "lr": RANGE, "delta_energy": {**RANGE, "when": {"s": [1]}}},
        {"s": 0, "lr": RANGE, "delta_energy": RANGE, "decoupled_weight_decay": True},
    ],
)
def test_other_spaces_are_accepted(space):
    study(**space)


def test_rule_applies_to_algorithm_2():
    with pytest.raises(SpecError, match="only one of them can be searched"):
        study("ecdsep_f0", s=0, lr=RANGE, delta_energy=RANGE)


def test_scale_defaults_to_1():
    space = {"s": [1, 0], "lr": RANGE, "delta_energy": {**RANGE, "when": {"s": [1]}}}
    optimizer = study(**space).optimizers["ecdsep"]
    given = optimizer.resolve({"eta": 3.0, "s": 0, "lr": 0.1}, 10)
    assert "delta_energy" not in given
    assert optimizer.definition.hyperparameters["delta_energy"].default is None
