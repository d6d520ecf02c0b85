"""Draws of dimensions, and refused ranges."""

import math

import numpy as np
import pytest
from scipy import stats

from ecd_tune.errors import SpaceError
from ecd_tune.space import Choice, Float, Int, Space, Zero


def draws(dimension, count=2000):
    rng = np.random.default_rng(0)
    return np.array([dimension.draw(rng) for _ in range(count)])


def test_float_is_uniform():
    assert stats.kstest(draws(Float(2.0, 5.0)), stats.uniform(2, 3).cdf).pvalue > 0.01


def test_log_float_is_uniform_in_the_logarithm():
    logs = np.log10(draws(Float(1e-6, 1e2, log=True)))
    assert stats.kstest(logs, stats.uniform(-6, 8).cdf).pvalue > 0.01


def test_int_reaches_both_ends_evenly():
    counts = np.bincount(draws(Int(1, 4)), minlength=5)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 0.01


def test_log_int_follows_the_logarithm():
    counts = np.bincount(draws(Int(1, 3, log=True)), minlength=4)[1:]
    edges = np.log([0.5, 1.5, 2.5, 3.5])
    expected = 2000 * np.diff(edges) / (edges[-1] - edges[0])
    assert stats.chisquare(counts, expected).pvalue > 0.01


def test_choice_is_uniform():
    values = draws(Choice(("a", "b", "c")))
    assert stats.chisquare(np.unique(values, return_counts=True)[1]).pvalue > 0.01


def test_choice_distinguishes_booleans_but_not_1_and_1_0():
    assert Choice((1, True)).contains(True)
    assert not Choice((0, 1)).contains(True)
    assert Choice((0, 1)).contains(1.0)
    assert not Choice(("1", 0)).contains(1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Float(1.0, 1.0), "low must be smaller than high"),
        (lambda: Float(0.0, 1.0, log=True), "a log range needs low > 0"),
        (lambda: Float(-1.0, 1.0, log=True), "a log range needs low > 0"),
        (lambda: Float(0.0, float("inf")), "both must be finite"),
        (lambda: Float(float("nan"), 1.0), "both must be finite"),
        (lambda: Float(1e-3, 1.0, zero=Zero(1e-3)), r"must be above 0, in \(0.001, 1\]"),
        (lambda: Float(1e-3, 1.0, zero=Zero(2.0)), "must be above 0"),
        (lambda: Float(-1.0, 1.0, zero=Zero(-0.5)), "must be above 0"),
        (lambda: Int(3, 2), "low must be smaller than high"),
        (lambda: Choice((1,)), "at least two values"),
        (lambda: Choice((1, 1)), "1, 1 are the same value"),
    ],
)
def test_invalid_dimensions_are_refused_with_a_reason(make, words):
    with pytest.raises(SpaceError, match=words):
        make()


def test_grid_order_varies_the_last_dimension_fastest():
    space = Space({"nu": Choice((1e-4, 1e-5)), "s": Choice((0, 1))})
    assert [tuple(point.values()) for point in space.grid()] == [
        (1e-4, 0),
        (1e-4, 1),
        (1e-5, 0),
        (1e-5, 1),
    ]


def test_grid_counts_a_point_once_where_a_dimension_is_inactive():
    space = Space({"s": Choice((0, 1)), "x": Choice((1, 2, 3), when={"s": (0,)})})
    assert list(space.grid()) == [
        {"s": 0, "x": 1},
        {"s": 0, "x": 2},
        {"s": 0, "x": 3},
        {"s": 1},
    ]


def test_grid_of_a_range_is_refused_by_name():
    with pytest.raises(SpaceError, match=r"lr = \[0.1, 1\]: a grid needs a list"):
        next(Space({"lr": Float(0.1, 1.0)}).grid())


def test_condition_must_name_an_earlier_dimension():
    with pytest.raises(SpaceError, match=r"is not listed before it; allowed: a"):
        Space({"a": Choice((0, 1)), "x": Float(0.0, 1.0, when={"s": (0,)}), "s": Choice((0, 1))})

    with pytest.raises(SpaceError, match=r"is not listed before it; allowed: a"):
        Space({"a": Choice((0, 1)), "x": Float(1e-3, 1.0, zero=Zero(0.1, {"s": (1,)}))})


def test_low_end_of_a_range_can_mean_zero():
    space = Space(
        {
            "s": Choice((0, 1)),
            "wd": Float(1e-7, 1e-2, log=True, zero=Zero(1e-6)),
            "energy": Float(1e-3, 1e2, log=True, zero=Zero(1e-2, {"s": (1,)})),
        }
    )
    drawn = {"s": 1, "wd": 9.9e-7, "energy": 5e-3, "stranger": 1e-9}
    assert space.resolve(drawn) == {"s": 1, "wd": 0.0, "energy": 0.0, "stranger": 1e-9}
    # The threshold itself is a value, and so is what the condition leaves out.
    assert space.resolve({"s": 0, "wd": 1e-6, "energy": 5e-3}) == {
        "s": 0,
        "wd": 1e-6,
        "energy": 5e-3,
    }
    assert space.resolve({"s": 1}) == {"s": 1}
    assert space.describe()["wd"] == "[1e-07, 0.01] log, below 1e-06 none (0)"
    assert space.describe()["energy"].endswith("below 0.01 none (0) when s = 1")


def test_about_the_share_of_the_decades_below_the_threshold_is_zero():
    space = Space({"wd": Float(1e-7, 1e-2, log=True, zero=Zero(1e-6))})
    rng = np.random.default_rng(0)
    zeros = [space.resolve(space.draw(rng))["wd"] == 0.0 for _ in range(2000)]
    assert np.mean(zeros) == pytest.approx(1 / 5, abs=4 * math.sqrt(0.2 * 0.8 / 2000))
