"""The table [cost] of a study file."""

import pytest

from ecd_tune.errors import SpecError
from ecd_tune.spec import parse_study

TABLE = {
    "name": "small",
    "task": {"name": "zakharov"},
    "budget": {"trials": 2, "steps": 5},
    "optimizers": {"adam": {"space": {"lr": 0.1}}},
}


def test_defaults_are_the_worlds_average_and_what_can_be_measured():
    cost = parse_study(TABLE).cost
    assert (cost.intensity.kg_per_kwh, cost.tdp_watts, cost.offset) == (0.475, None, 0.0)


def test_values_are_taken():
    cost = parse_study({**TABLE, "cost": {"kg_per_kwh": 0.24, "tdp_watts": 70, "offset": 1}}).cost
    assert (cost.intensity.kg_per_kwh, cost.tdp_watts, cost.offset) == (0.24, 70.0, 1.0)
    assert parse_study({**TABLE, "cost": {"region": "FRA"}}).cost.intensity.kg_per_kwh == 0.056


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ({"region": "France"}, r"cost: 'France' is not a known region \(France is FRA\)"),
        ({"region": "FRA", "kg_per_kwh": 0.1}, "mutually exclusive"),
        ({"kg_per_kwh": -0.1}, r"\[cost\]: kg_per_kwh: -0.1: .*must be at least 0"),
        ({"kg_per_kwh": float("inf")}, "finite"),
        ({"tdp_watts": 0}, "must be above 0"),
        ({"offset": 1.5}, "must be at most 1"),
        ({"watts": 3}, "unknown key"),
    ],
)
def test_invalid_values_are_refused(cost, message):
    with pytest.raises(SpecError, match=message):
        parse_study({**TABLE, "cost": cost})
