"""The identity of a study: numbers by meaning, and a difference for unequal fingerprints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import SpecError
from ecd_tune.spec import differences, fingerprint_of, parse_study

SCALARS = (
    st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e300, 2.0**53, float("inf")])
    | st.sampled_from(["", "1", "a"])
    | st.none()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
TABLES = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(TABLES, TABLES)
def test_other_fingerprints_always_show_a_difference(one: Any, other: Any) -> None:
    assert bool(differences(one, other)) == (fingerprint_of(one) != fingerprint_of(other))


@given(TABLES)
def test_whole_numbers_can_have_a_decimal_point(table: Any) -> None:
    def pointed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: pointed(own) for key, own in value.items()}
        if isinstance(value, list):
            return [pointed(own) for own in value]
        return float(value) if type(value) is int else value

    assert fingerprint_of(pointed(table)) == fingerprint_of(table)
    assert differences(table, pointed(table)) == []
    assert fingerprint_of(json.loads(json.dumps(table))) == fingerprint_of(table)


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, "1"), (0.5, 1), ([1], 1)])
def test_different_meanings_differ(one: Any, other: Any) -> None:
    (line,) = differences({"table": {"key": one}}, {"table": {"key": other}})
    assert line == f"table.key: {json.dumps(one)} -> {json.dumps(other)}"


def study(**space: Any) -> Any:
    return parse_study(
        {
            "name": "a",
            "task": {"name": "digits"},
            "budget": {"trials": 1, "steps": 1},
            "optimizers": {"sgd": {"space": {"lr": 0.1, **space}}},
        }
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"momentum": [0.0, 0.9]}, {"momentum": [0, 0.9]}),
        ({"lr": 1}, {"lr": 1.0}),
        (
            {"lr": {"low": 1, "high": 10, "log": True}},
            {"lr": {"low": 1.0, "high": 10.0, "log": True}},
        ),
    ],
)
def test_study_resumes_if_only_the_notation_changes(one: Any, other: Any) -> None:
    before, after = study(**one), study(**other)
    assert before.fingerprint("sgd") == after.fingerprint("sgd")
    point = {name: value[0] if isinstance(value, list) else 1 for name, value in one.items()}
    after.optimizers["sgd"].space.check({"lr": 0.1, **point} if "lr" not in point else point)


@pytest.mark.parametrize("choices", [[0.5, 0.5], [0, 0.0], [1, 1.0, 2], ["a", "a"], [True, True]])
def test_duplicate_values_are_refused(choices: Any) -> None:
    with pytest.raises(SpecError, match="are the same value"):
        study(momentum=choices)
