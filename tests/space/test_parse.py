"""The forms of a dimension in a study file."""

import pytest

from ecd_tune.errors import SpaceError
from ecd_tune.space import Choice, Fixed, Float, Int, Zero, parse_dimension, parse_space


@pytest.mark.parametrize(
    ("value", "dimension"),
    [
        (1, Fixed(1)),
        (True, Fixed(True)),
        ("hold", Fixed("hold")),
        ([1e-4, 1e-5], Choice((1e-4, 1e-5))),
        ({"low": 0, "high": 1}, Float(0.0, 1.0)),
        ({"low": 1e-4, "high": 1, "log": True}, Float(1e-4, 1.0, log=True)),
        ({"low": 1, "high": 9, "type": "int"}, Int(1, 9)),
        ({"value": 2, "when": {"s": 0}}, Fixed(2, when={"s": (0,)})),
        ({"choices": [1, 2], "when": {"s": [0, 1]}}, Choice((1, 2), when={"s": (0, 1)})),
        ({"low": 0, "high": 1, "when": {"s": [0]}}, Float(0.0, 1.0, when={"s": (0,)})),
        ({"low": 1, "high": 9, "zero": {"below": 2}}, Float(1.0, 9.0, zero=Zero(2.0))),
        (
            {"low": 1, "high": 9, "zero": {"below": 2, "when": {"s": 1}}},
            Float(1.0, 9.0, zero=Zero(2.0, {"s": (1,)})),
        ),
    ],
)
def test_forms(value, dimension):
    assert parse_dimension(value) == dimension
    assert type(parse_dimension(value)) is type(dimension)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "expected a value, a list of values, or"),
        ([[1], [2]], "only numbers, strings and true/false"),
        ({"low": 0}, "high is missing"),
        ({"low": 1, "high": 9, "zero": 2}, "expected zero = { below"),
        ({"low": 1, "high": 9, "zero": {"when": {"s": 1}}}, "expected zero = { below"),
        ({"low": 1, "high": 9, "zero": {"below": "2"}}, "must be a number"),
        ({"low": 1, "high": 9, "type": "int", "zero": {"below": 2}}, "their range can include 0"),
        ({"low": 0, "high": 1, "lgo": True}, "unknown key 'lgo'"),
        ({"low": 0, "high": 1, "log": "yes"}, "must be true or false"),
        ({"low": "0", "high": 1}, "must be a number"),
        ({"low": 1.5, "high": 3, "type": "int"}, "must be a whole number"),
        ({"low": 1, "high": 3, "type": "real"}, "allowed: 'float', 'int'"),
        ({"low": 0, "high": 1, "when": [0]}, "expected { name = [values] }"),
        ({"choices": 3}, "expected a list of values"),
    ],
)
def test_wrong_forms_say_what_is_expected(value, words):
    with pytest.raises(SpaceError) as error:
        parse_space({"lr": value})
    assert str(error.value).startswith("lr: ")
    assert words in str(error.value)
