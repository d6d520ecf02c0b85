"""Properties of any space: drawn and suggested points pass the space's check."""

import itertools
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import SpaceError
from ecd_tune.space import Choice, Fixed, Float, Int, Prior, Space, parse_space

names = st.sampled_from(["lr", "eta", "nu", "s", "T0", "label"])
scalars = st.one_of(
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(-1e6, 1e6),
    st.text("abc", min_size=1, max_size=3),
)


def ordered(numbers):
    return st.lists(numbers, min_size=2, max_size=2, unique=True).map(sorted)


floats = ordered(st.floats(-1e9, 1e9)).map(lambda ends: Float(*ends))
log_floats = ordered(st.floats(1e-12, 1e9)).map(lambda ends: Float(*ends, log=True))
ints = ordered(st.integers(-(10**6), 10**6)).map(lambda ends: Int(*ends))
log_ints = ordered(st.integers(1, 10**6)).map(lambda ends: Int(*ends, log=True))
choices = st.lists(
    scalars, min_size=2, max_size=4, unique_by=lambda v: (isinstance(v, bool), v)
).map(lambda values: Choice(tuple(values)))


@st.composite
def with_priors(draw, ranges):
    """A prior anywhere in a range, narrow or wide."""
    dimension = draw(ranges)
    center = draw(st.sampled_from(dimension.bounds()) | st.floats(*dimension.bounds()))
    spread = draw(st.none() | st.floats(1.001, 1e6))
    return replace(dimension, prior=Prior(center, spread))


guided = with_priors(st.one_of(floats, log_floats, ints, log_ints))
dimensions = st.one_of(guided, floats, log_floats, ints, log_ints, choices, scalars.map(Fixed))
spaces = st.dictionaries(names, dimensions, min_size=1).map(Space)


class CornerTrial:
    """A suggester that answers with one end of everything, as Optuna is allowed to."""

    def __init__(self, last):
        self.last, self.asked = last, []

    def suggest_float(self, name, low, high, *, log=False):
        self.asked.append(name)
        return high if self.last else low

    def suggest_int(self, name, low, high, *, log=False):
        return self.suggest_float(name, low, high)

    def suggest_categorical(self, name, choices):
        self.asked.append(name)
        return choices[-1 if self.last else 0]


def as_table(dimension):
    match dimension:
        case Fixed(value=value):
            return value
        case Choice(values=values):
            return list(values)
        case Int(low=low, high=high, log=log):
            return {"low": low, "high": high, "log": log, "type": "int", **prior_table(dimension)}
        case Float(low=low, high=high, log=log):
            return {"low": low, "high": high, "log": log, **prior_table(dimension)}


def prior_table(dimension):
    if dimension.prior is None:
        return {}
    table = asdict(dimension.prior)
    return {"prior": {key: value for key, value in table.items() if value is not None}}


@given(spaces, st.integers(0, 2**32), st.booleans())
def test_a_drawn_point_passes_the_check(space, seed, prior):
    space.check(space.draw(np.random.default_rng(seed), prior=prior))


@given(spaces, st.booleans())
def test_a_suggested_point_passes_the_check(space, last):
    trial = CornerTrial(last)
    space.check(space.suggest(trial))
    assert tuple(trial.asked) == space.searched


@given(spaces)
def test_space_round_trip_through_a_study_file(space):
    table = {name: as_table(dimension) for name, dimension in space.dimensions.items()}
    assert parse_space(table) == space


@given(spaces, st.integers(0, 2**32), st.data())
def test_missing_or_unknown_names_fail_the_check(space, seed, data):
    point = space.draw(np.random.default_rng(seed))
    gone = data.draw(st.sampled_from(sorted(point)))
    with pytest.raises(SpaceError, match=f"{gone}: missing"):
        space.check({k: v for k, v in point.items() if k != gone})
    with pytest.raises(SpaceError, match="stranger"):
        space.check({**point, "stranger": 1})


@given(st.one_of(floats, log_floats, ints, log_ints), st.data())
def test_numbers_outside_the_range_are_not_contained(dimension, data):
    low, high = dimension.bounds()
    assert dimension.contains(low)
    assert dimension.contains(high)
    outside = data.draw(st.sampled_from([low - 1 - abs(low), high + 1 + abs(high)]))
    assert not dimension.contains(outside)
    for stranger in (True, "1", None, math.nan):
        assert not dimension.contains(stranger)


@given(spaces)
def test_every_dimension_is_described(space):
    assert list(space.describe()) == list(space.dimensions)
    assert all(space.describe().values())


@given(st.integers(0, 100))
def test_conditions_decide_which_dimensions_are_active(seed):
    space = Space(
        {
            "s": Choice((0, 1)),
            "delta_energy": Float(1e-3, 1.0, log=True, when={"s": (0,)}),
            "mode": Choice(("a", "b"), when={"s": (1,)}),
            "depth": Int(1, 3, when={"mode": ("b",)}),
        }
    )
    point = space.draw(np.random.default_rng(seed))
    assert ("delta_energy" in point) == (point["s"] == 0)
    assert ("mode" in point) == (point["s"] == 1)
    assert ("depth" in point) == (point.get("mode") == "b")
    space.check(point)


def test_an_inactive_value_fails_the_check():
    space = Space({"s": Choice((0, 1)), "x": Float(0.0, 1.0, when={"s": (0,)})})
    with pytest.raises(SpaceError, match=r"x = 0\.5: not active here"):
        space.check({"s": 1, "x": 0.5})


@st.composite
def grids(draw):
    """Draw a space of choices, some of which exist only beside others."""
    dimensions = {}
    for name in "abcd"[: draw(st.integers(1, 4))]:
        values = tuple(range(draw(st.integers(1, 3))))
        when = {}
        if dimensions and draw(st.booleans()):
            when = {draw(st.sampled_from(sorted(dimensions))): (draw(st.integers(0, 2)),)}
        dimensions[name] = Choice(values, when) if len(values) > 1 else Fixed(0, when)
    return Space(dimensions)


@given(grids())
def test_a_grid_has_each_point_of_the_product_once(space):
    found = list(space.grid())
    assert space.grid_size() == len(found)
    for point in found:
        space.check(point)
    expected = []
    for values in itertools.product(*(d.bounds() for d in space.dimensions.values())):
        point = {}
        for (name, dimension), value in zip(space.dimensions.items(), values, strict=True):
            if all(point.get(other) in allowed for other, allowed in dimension.when.items()):
                point[name] = value
        if point not in expected:
            expected.append(point)
    assert found == expected


def test_large_grid_is_lazy():
    space = Space({f"x{i}": Choice(tuple(range(64))) for i in range(40)})
    assert space.grid_size() == 64**40
    assert list(itertools.islice(space.grid(), 2)) == [
        {f"x{i}": 0 for i in range(40)},
        {f"x{i}": int(i == 39) for i in range(40)},
    ]
