"""Turns of the momentum: reference values, 1F1, and properties for any n and ν."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf, gammaln, hyp1f1

from ecd_tune.errors import TheoryError
from ecd_tune.theory import (
    bounce_angle,
    bounce_cosine,
    bounce_cosine_leading,
    bounce_cosine_second_order,
    effective_eta,
    effective_eta_leading,
    measure_exponent,
    nu_for_bounce_angle,
    paper_bounce_angle,
    unit_speed_eta,
)
from tests.oracles.theory_numbers import ROTATION

dimensions = st.one_of(st.integers(1, 50), st.integers(50, 10**9))
roots = st.floats(-8, 3).map(lambda x: 10.0**x)


@pytest.mark.parametrize(("n", "nu", "cosine", "second", "ratio"), ROTATION)
def test_reference_values(n, nu, cosine, second, ratio):
    assert bounce_cosine(n, nu) == pytest.approx(cosine, rel=1e-11)
    assert bounce_cosine_second_order(n, nu) == pytest.approx(second, rel=1e-11)
    assert effective_eta(3.0, n, nu) == pytest.approx(3 * ratio, rel=1e-11)
    assert math.cos(bounce_angle(n, nu)) == pytest.approx(cosine, rel=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 77, 500, 3000])
@pytest.mark.parametrize("nu", [0.03, 0.0799, 0.0801, 0.5, 3.0, 1e4])
def test_the_integral_is_the_hypergeometric_formula(n, nu):
    front = gammaln((n + 1) / 2) - gammaln(n / 2 + 1) - math.log(math.sqrt(2) * nu)
    exact = math.exp(front) * hyp1f1(0.5, n / 2 + 1, -1 / (2 * nu**2))
    assert bounce_cosine(n, nu) == pytest.approx(exact, rel=4e-12)


@pytest.mark.parametrize("nu", [0.05, 0.2, 1.0, 7.0])
def test_one_dimension_is_the_probability_to_keep_the_sign(nu):
    assert bounce_cosine(1, nu) == pytest.approx(erf(1 / (math.sqrt(2) * nu)), rel=1e-13)


@given(dimensions, roots)
def test_approximations_keep_their_stated_errors(n, root):
    nu = root / math.sqrt(n)
    exact = bounce_cosine(n, nu)
    rounding = 2e-13
    assert abs(bounce_cosine_second_order(n, nu) / exact - 1) <= 0.18 / n**2 + rounding
    assert abs(bounce_cosine_leading(n, nu) / exact - 1) <= 0.3 / n + rounding


@given(dimensions, roots, st.floats(1.001, 10))
def test_larger_nu_turns_further(n, root, factor):
    nu = root / math.sqrt(n)
    assert bounce_cosine(n, factor * nu) <= bounce_cosine(n, nu) <= 1
    if n > 1:
        assert 0 < bounce_angle(n, nu) < bounce_angle(n, factor * nu) < math.pi / 2


@given(st.integers(2, 10**9), st.floats(-9, math.log10(1.57)).map(lambda x: 10.0**x))
def test_the_inverse_returns_the_angle(n, angle):
    assert bounce_angle(n, nu_for_bounce_angle(n, angle)) == pytest.approx(angle, rel=1e-12)


@given(st.integers(2, 10**9), st.floats(1e-14, 1e-7))
def test_small_angles_are_not_lost_to_cancellation(n, nu):
    nu /= math.sqrt(n)
    assert bounce_angle(n, nu) == pytest.approx(nu * math.sqrt(n - 1), rel=1e-9)


def test_no_turn():
    assert bounce_cosine(7, 0.0) == 1
    assert bounce_angle(7, 0.0) == 0
    assert nu_for_bounce_angle(7, 0.0) == 0


def test_the_paper_s_angle_is_right_for_small_turns_only():
    n = 10_000
    assert bounce_angle(n, 1e-4) == pytest.approx(paper_bounce_angle(n, 1e-4), rel=1e-3)
    assert paper_bounce_angle(n, 0.011) == math.pi / 2
    assert math.degrees(bounce_angle(n, 0.01)) == pytest.approx(45, abs=0.1)
    assert math.degrees(bounce_angle(n, 0.03)) == pytest.approx(72, abs=0.5)


@given(st.integers(2, 10**6), roots, st.floats(1, 10))
def test_effective_eta_lies_between_its_limits(n, root, eta):
    value = effective_eta(eta, n, root / math.sqrt(n))
    assert eta * (1 - 1e-12) <= value <= 2 * eta * (1 - 1 / n) * (1 + 1e-12)
    assert effective_eta(eta, n, root / math.sqrt(n), "sync") == eta


def test_effective_eta_limits_and_the_need_of_the_1_over_n_term():
    assert effective_eta(2.0, 20, 0.0) == 2
    assert effective_eta(2.0, 20, 1e9) == pytest.approx(4 * 0.95, rel=1e-8)
    nu = 3 / math.sqrt(10)
    assert effective_eta(1.5, 10, nu) == pytest.approx(2.131, abs=5e-4)
    assert effective_eta_leading(1.5, 10, nu) == pytest.approx(2.288, abs=5e-4)
    assert measure_exponent(10, nu, "sync") == 5


@given(st.integers(2, 10**6), roots, st.floats(1, 10))
def test_eta_at_unit_speed_has_no_1_over_n_term(n, root, eta):
    nu = root / math.sqrt(n)
    expected = 2 * eta / (1 + bounce_cosine(n, nu))
    assert unit_speed_eta(eta, n, nu) == pytest.approx(expected, rel=1e-14)
    assert unit_speed_eta(eta, n, nu, "sync") == eta


def test_arrays_broadcast_and_equal_numbers():
    n, nu = np.array([[10], [1000]]), np.array([0.0, 0.05, 0.2])
    for function in (bounce_cosine, bounce_angle, paper_bounce_angle, bounce_cosine_leading):
        table = function(n, nu)
        assert table.shape == (2, 3)
        for i, j in np.ndindex(2, 3):
            assert table[i, j] == pytest.approx(function(n[i, 0], nu[j]), rel=1e-14)
    assert effective_eta(np.array([2.0, 3.0]), 10, 0.1).shape == (2,)
    assert isinstance(bounce_cosine(3, 0.1), float)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bounce_cosine(0, 0.1), r"n = 0\.0; n must be finite and >= 1"),
        (lambda: bounce_cosine(5, [0.1, -0.1]), r"nu = -0\.1; nu must be finite and >= 0"),
        (lambda: bounce_cosine(5, math.nan), "nu = nan"),
        (lambda: effective_eta(0.5, 5, 0.1), r"eta = 0\.5; eta must be finite and >= 1"),
        (lambda: effective_eta(2, 5, 0.1, "euler"), "the integrators are algorithm1, sync"),
        (lambda: nu_for_bounce_angle(5, 1.6), "no ν turns by π/2 or more"),
        (lambda: nu_for_bounce_angle(1, 0.1), r"n must be finite and >= 2"),
    ],
)
def test_broken_assumptions_are_named(call, message):
    with pytest.raises(TheoryError, match=message):
        call()
