"""Priors of ranges and choices: distributions and refused values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from ecd_tune.errors import SpaceError
from ecd_tune.space import Choice, Float, Int, Prior, Space, parse_dimension, parse_space
from ecd_tune.space.priors import prior_quantile

DRAWS = 2000


def draws(dimension, *, prior=True):
    rng = np.random.default_rng(0)
    return np.array([dimension.draw(rng, prior=prior) for _ in range(DRAWS)])


def truncated(center, sigma, low, high):
    return stats.truncnorm((low - center) / sigma, (high - center) / sigma, center, sigma)


@given(
    low=st.floats(-1e3, 1e3),
    width=st.floats(1e-3, 1e3),
    place=st.floats(0, 1),
    spread=st.floats(1e-2, 1e2),
    share=st.floats(0, 1),
)
def test_quantiles_are_those_of_the_truncated_normal_distribution(low, width, place, spread, share):
    high = low + width
    center, sigma = min(low + place * width, high), spread * width
    found = prior_quantile(Prior(center, sigma), share, low, high, log=False)
    ends = (low - center) / sigma, (high - center) / sigma
    below = stats.truncnorm.cdf(found, *ends, loc=center, scale=sigma)
    rounding = math.ulp(max(abs(low), abs(high))) / min(sigma, high - low)
    assert below == pytest.approx(share, abs=1e-12 + 2 * rounding)


@given(st.floats(-9, 9), st.floats(0.1, 9), st.floats(0, 1), st.floats(0.1, 5), st.floats(0, 1))
def test_a_logarithmic_range_has_the_distribution_in_its_logarithm(low, width, place, sigma, share):
    center = low + place * width
    plain = prior_quantile(Prior(center, sigma), share, low, low + width, log=False)
    assume(math.exp(sigma) > 1)
    prior = Prior(math.exp(center), math.exp(sigma))
    found = prior_quantile(prior, share, math.exp(low), math.exp(low + width), log=True)
    assert math.log(found) == pytest.approx(plain, abs=1e-9 * sigma + 1e-9)


@pytest.mark.parametrize("spread", [1e-300, 5e-324])
def test_a_narrow_prior_is_its_center(spread):
    assert set(draws(Float(0.0, 1.0, prior=Prior(0.25, spread)))) == {0.25}


def test_draws_of_a_range_follow_its_prior():
    known = truncated(-1, 0.5, -3, 0)
    found = np.log10(draws(Float(1e-3, 1.0, log=True, prior=Prior(0.1, 10**0.5))))
    assert stats.kstest(found, known.cdf).pvalue > 0.01
    assert stats.kstest(found, stats.uniform(-3, 3).cdf).pvalue < 1e-9


@pytest.mark.parametrize("log", [False, True])
def test_draws_of_whole_numbers_are_rounded(log):
    low, high, spread = 2, 9, 2.5
    to = math.log if log else float
    edges = [to(value - 0.5) for value in range(low, high + 2)]
    known = truncated(to(4), to(spread), edges[0], edges[-1])
    found = draws(Int(low, high, log, prior=Prior(4, spread)))
    counts = np.bincount(found, minlength=high + 1)[low:]
    assert stats.chisquare(counts, DRAWS * np.diff(known.cdf(edges))).pvalue > 0.01


def test_draws_of_choices_follow_the_weights():
    found = draws(Choice(("a", "b", "c"), prior=(3.0, 1.0, 0.0)))
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == ["a", "b"]
    assert stats.chisquare(counts, [0.75 * DRAWS, 0.25 * DRAWS]).pvalue > 0.01


def test_default_spread_is_a_sixth_of_the_range():
    for share in (0.1, 0.5, 0.9):
        assert prior_quantile(Prior(2.0), share, 0.0, 6.0, log=False) == prior_quantile(
            Prior(2.0, 1.0), share, 0.0, 6.0, log=False
        )
        assert prior_quantile(Prior(1e-2), share, 1e-3, 1e3, log=True) == pytest.approx(
            prior_quantile(Prior(1e-2, 10.0), share, 1e-3, 1e3, log=True)
        )


def test_draws_are_uniform_by_default():
    plain, own = Float(0.0, 1.0), Float(0.0, 1.0, prior=Prior(0.1, 0.01))
    assert (draws(own, prior=False) == draws(plain)).all()
    assert (draws(plain, prior=True) == draws(plain, prior=False)).all()


FORMS = {
    "lr": {"low": 1e-3, "high": 1, "log": True, "prior": 0.1},
    "eta": {"low": 1, "high": 4, "prior": {"center": 2, "spread": 0.5}},
    "depth": {"low": 1, "high": 9, "type": "int", "prior": 3},
    "s": {"choices": [0, 1], "prior": [3, 1]},
}


def test_forms_and_descriptions():
    assert parse_space(FORMS).dimensions == {
        "lr": Float(1e-3, 1.0, log=True, prior=Prior(0.1)),
        "eta": Float(1.0, 4.0, prior=Prior(2.0, 0.5)),
        "depth": Int(1, 9, prior=Prior(3.0)),
        "s": Choice((0, 1), prior=(3.0, 1.0)),
    }
    assert parse_space(FORMS).describe() == {
        "lr": "[0.001, 1] log, prior 0.1 (spread 3.16)",
        "eta": "[1, 4], prior 2 (spread 0.5)",
        "depth": "{1, …, 9}, prior 3 (spread 1.5)",
        "s": "{0, 1}, prior 3:1",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prior": 2}, ["center = 2; must be in the range [0, 1]"]),
        ({"prior": {"center": 0.5, "spread": 0}}, ["spread = 0; must be a difference above 0"]),
        ({"prior": {"center": 0.5, "spread": math.inf}}, ["spread = inf"]),
        ({"prior": math.nan}, ["center = nan; must be in"]),
        ({"prior": {"center": 2, "spread": -1}}, ["center = 2", "spread = -1"]),
        (
            {"low": 0.1, "log": True, "prior": {"center": 0.5, "spread": 1}},
            ["spread = 1; must be a factor above 1, as the range is logarithmic"],
        ),
        ({"prior": "0.5"}, ["expected prior = 0.1, or prior = { center = 0.1, spread = 3.0 }"]),
        ({"prior": True}, ["expected prior"]),
        ({"prior": {"spread": 1}}, ["expected prior"]),
        ({"prior": {"centre": 0.5}}, ["expected prior"]),
        ({"choices": [1, 2], "prior": [1]}, ["got 1, expected 2: one weight per choice"]),
        ({"choices": [1, 2], "prior": [1, -1]}, ["weights must be numbers of at least 0"]),
        ({"choices": [1, 2], "prior": [0, 0]}, ["at least one weight must be above 0"]),
        ({"choices": [1, 2], "prior": 1}, ["expected a weight for each choice"]),
        ({"value": 1, "prior": 1}, ["a fixed value has none"]),
    ],
)
def test_invalid_priors_are_refused_with_a_reason(change, words):
    base = {} if {"choices", "value"} & set(change) else {"low": 0.0, "high": 1.0}
    with pytest.raises(SpaceError) as error:
        parse_dimension({**base, **change})
    assert [word for word in words if word not in str(error.value)] == []


def test_all_dimensions_that_are_wrong_are_named():
    wrong = {"lr": {**FORMS["lr"], "prior": 2}, "s": {**FORMS["s"], "prior": [1]}, "eta": 1.0}
    with pytest.raises(SpaceError) as error:
        parse_space(wrong)
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == ["lr", "s"]


def test_a_space_knows_whether_it_has_a_prior():
    assert parse_space(FORMS).has_prior
    assert not Space({"lr": Float(0.0, 1.0), "s": Choice((0, 1))}).has_prior


def test_weights_whose_sum_overflows_are_refused() -> None:
    with pytest.raises(SpaceError, match="the sum of the weights must be finite"):
        Choice((1, 2), prior=(1e308, 1e308))
