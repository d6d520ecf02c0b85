"""Studies of user tasks: default spaces, first trials, and equivalent tables."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import SpecError
from ecd_tune.registry import OPTIMIZERS
from ecd_tune.space import Choice, Fixed, Float, Int
from ecd_tune.spec import load_study, own_study, parse_study, shipped_studies, study_table
from tests.tasks.own import own_tasks

REFERENCE = f"{own_tasks.__name__}:tensors"
BUILT_IN = [definition.name for definition in OPTIMIZERS]


@pytest.mark.parametrize("name", sorted(shipped_studies()))
def test_table_round_trip(name: str) -> None:
    spec = load_study(shipped_studies()[name])
    table = json.loads(json.dumps(study_table(spec), allow_nan=False))
    again = parse_study(table)
    assert again == spec
    assert all(again.fingerprint(key) == spec.fingerprint(key) for key in spec.optimizers)


@given(
    low=st.floats(1e-6, 1.0),
    factor=st.floats(1.5, 100.0),
    log=st.booleans(),
    choices=st.lists(st.integers(1, 9), min_size=2, max_size=4, unique=True),
    fixed=st.floats(1.0, 4.0),
    below=st.none() | st.floats(0.1, 0.9),
)
def test_every_kind_of_dimension_is_written(low, factor, log, choices, fixed, below) -> None:
    high = low * factor
    zero = {} if below is None else {"zero": {"below": low + below * (high - low)}}
    space = {
        "eta": fixed,
        "s": [0, 1],
        "lr": {"low": low, "high": high, "log": log, "when": {"s": [1]}},
        "nu": {"low": low, "high": high, "log": log, **zero},
        "weight_decay": {"choices": [float(c) for c in choices], "when": {"s": [0]}},
        "F0": {"value": -1.0, "when": {"s": [0]}},
    }
    spec = parse_study(own_study(REFERENCE, {"ecdsep": {"space": space}}))
    kinds = [type(d) for d in spec.optimizers["ecdsep"].space.dimensions.values()]
    assert kinds == [Fixed, Choice, Float, Float, Choice, Fixed]
    assert Int not in kinds  # has a test of its own below
    assert parse_study(study_table(spec)) == spec


def test_whole_numbers_are_written() -> None:
    space = {"T0": {"low": 5, "high": 50, "type": "int"}, "lr": 0.1}
    spec = parse_study(own_study(REFERENCE, {"bbi": {"space": space}}))
    assert parse_study(study_table(spec)) == spec


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_optimizer_has_a_default_space(name: str) -> None:
    spec = parse_study(own_study(REFERENCE, [name]))
    own = spec.optimizers[name]
    assert own.space.searched
    rng = np.random.default_rng(0)
    for _ in range(20):
        point = own.space.draw(rng)
        resolved = own.resolve(point, 1000)
        for key, value in resolved.items():
            assert own.definition.hyperparameters[key].problem(value) is None
    for first in own.first:
        assert set(own.resolve(first.params, 1000)) <= set(own.definition.hyperparameters)


def test_given_values_override_defaults() -> None:
    table = own_study(REFERENCE, ["sgd"], budget={"trials": 7}, name="mine", seed=3)
    spec = parse_study(table)
    assert (spec.name, spec.seed, spec.trials("sgd")) == ("mine", 3, 7)
    assert spec.budget.steps == 2  # the task's own epochs
    assert spec.confirmation.runs == 6


def test_optimizer_table_keeps_other_defaults() -> None:
    spec = parse_study(own_study(REFERENCE, {"mine": {"optimizer": "adamw", "title": "Mine"}}))
    assert spec.optimizers["mine"].title == "Mine"
    assert [first.label for first in spec.optimizers["mine"].first] == ["default"]


def test_first_trials_are_part_of_the_fingerprint() -> None:
    table = own_study(REFERENCE, ["adamw"])
    plain = json.loads(json.dumps(table))
    del plain["optimizers"]["adamw"]["first"]
    one, two = parse_study(table), parse_study(plain)
    assert one.fingerprint("adamw") != two.fingerprint("adamw")
    assert "first" not in two.identity("adamw")["optimizer"]  # studies from before continue


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ([{"label": "a", "params": {"lr": -1.0}}], r"first\.a\]: lr = -1\.0 must be > 0"),
        ([{"label": "a", "params": {"leaf": 1.0}}], r"leaf: 'adamw' has no such"),
        ([{"label": "a", "params": {}}] * 2, r"first: labels \['a', 'a'\] must differ"),
    ],
)
def test_first_trials_are_checked(first, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_study(own_study(REFERENCE, {"adamw": {"first": first}}))


def test_default_spaces_have_small_bounce_angles() -> None:
    """Of the default space, up to 17°, as its comment says."""
    space = parse_study(own_study(REFERENCE, ["ecdsep"])).optimizers["ecdsep"].space
    high = float(space.dimensions["nu_sqrt_n"].bounds()[1])
    assert math.degrees(math.atan(high)) == pytest.approx(16.7, abs=0.1)
