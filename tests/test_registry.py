import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import EcdTuneError, UnknownNameError
from ecd_tune.registry import OPTIMIZERS, TASKS, Hyperparameter


def test_unknown_name_lists_what_is_known_and_a_near_miss() -> None:
    with pytest.raises(UnknownNameError) as caught:
        OPTIMIZERS.get("ecdsepp")
    message = str(caught.value)
    assert "unknown optimizer 'ecdsepp'; did you mean 'ecdsep'?" in message
    assert "adamw" in message
    assert isinstance(caught.value, EcdTuneError)
    assert isinstance(caught.value, KeyError)


def test_many_names_do_not_hide_the_one_that_was_meant() -> None:
    names = [f"study-{number}" for number in range(50)]
    said = str(UnknownNameError("study", "study-4x", names))
    assert "did you mean 'study-4" in said
    assert "There are 50; `ecd-tune studies` lists them" in said
    assert said.count("study-") == 2
    assert "; there are 50; `ecd-tune studies`" in str(UnknownNameError("study", "other", names))


def test_names_agree_with_definitions() -> None:
    for registry in (TASKS, OPTIMIZERS):
        assert [definition.name for definition in registry] == registry.names()


@pytest.mark.parametrize(
    ("declared", "value", "reason"),
    [
        (Hyperparameter(float, "η", low=1), 0.5, "must be >= 1"),
        (Hyperparameter(float, "Δt", low=0, low_open=True), 0.0, "must be > 0"),
        (Hyperparameter(float, "β", low=0, high=1, high_open=True), 1, "must be >= 0 and < 1"),
        (Hyperparameter(float, "F0"), math.nan, "must be a finite number"),
        (Hyperparameter(float, "F0"), True, "must be a number"),
        (Hyperparameter(int, "T0"), 1.5, "must be a whole number"),
        (Hyperparameter(bool, "consEn"), 1, "must be true or false"),
        (Hyperparameter(int, "s", choices=(0, 1)), 2, "must be one of 0, 1"),
        (Hyperparameter(str, "kind"), 3, "must be a string"),
    ],
)
def test_problem_names_the_rule(declared: Hyperparameter, value: object, reason: str) -> None:
    assert declared.problem(value) == reason


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_range_allows_exactly_its_interior_and_closed_end(value: float) -> None:
    declared = Hyperparameter(float, "x", low=0, low_open=True, high=1)
    assert (declared.problem(value) is None) == (0 < value <= 1)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_an_unbounded_number_must_be_finite(value: float) -> None:
    assert (Hyperparameter(float, "x").problem(value) is None) == math.isfinite(value)
