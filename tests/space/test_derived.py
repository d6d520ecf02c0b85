"""Derived quantities against closed forms and values to twelve digits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.registry import OPTIMIZERS
from ecd_tune.space import DERIVED, resolve, searchable
from ecd_tune.space.derived import mean_rotation

ECDSEP = OPTIMIZERS.get("ecdsep").hyperparameters
ADAM = OPTIMIZERS.get("adam").hyperparameters

# λ(n, ν) and η_eff/η computed with mpmath from the exact hypergeometric form.
ROTATIONS = [
    (10, 0.1, 0.9572666230091, 1.017466553198),
    (100, 0.1, 0.7075443505555, 1.167847199027),
    (100, 0.5, 0.1956982583338, 1.659209546672),
    (1000, 0.1, 0.3014614730412, 1.535660458911),
    (200_000, 1e-5, 0.9999900002000, 1.000004999875),
    (12_000_000, 1e-3, 0.2773500940098, 1.565741364828),
]


@pytest.mark.parametrize(("n", "nu", "rotation", "ratio"), ROTATIONS)
def test_the_mean_rotation_is_the_exact_one_to_its_order(n, nu, rotation, ratio):
    assert mean_rotation(nu, n) == pytest.approx(rotation, rel=0.18 / n**2 + 1e-12)


@pytest.mark.parametrize(("n", "nu", "rotation", "ratio"), ROTATIONS)
def test_eta_eff_is_inverted_with_the_bias_of_algorithm_1(n, nu, rotation, ratio):
    given = resolve({"eta_eff": 3.0, "nu": nu}, n, ECDSEP)
    assert given["eta"] * ratio == pytest.approx(3.0, rel=1 / n**2 + 1e-9)
    assert "eta_eff" not in given


def test_eta_eff_uses_the_nu_that_was_itself_derived_or_is_the_default():
    searched = resolve({"eta_eff": 3.0, "nu_sqrt_n": 5.0}, 100, ECDSEP)
    assert searched == resolve({"eta_eff": 3.0, "nu": 0.5}, 100, ECDSEP)
    assert searched["eta"] * 1.659209546672 == pytest.approx(3.0, rel=1e-4)
    default = resolve({"eta_eff": 3.0}, 12_000_000, ECDSEP)
    assert default["eta"] == resolve({"eta_eff": 3.0, "nu": 1e-5}, 12_000_000, ECDSEP)["eta"]


def test_eta_eff_is_eta_where_the_order_of_phases_has_no_bias_and_never_below_1():
    given = resolve({"eta_eff": 3.0, "nu": 0.5, "integrator": "sync"}, 100, ECDSEP)
    assert given["eta"] == 3.0
    assert resolve({"eta_eff": 1.0, "nu": 0.5}, 100, ECDSEP)["eta"] == 1.0


@given(st.floats(1e-3, 10), st.integers(1, 10**9))
def test_nu_sqrt_n_over_the_root_of_n_is_nu(value, n):
    given = resolve({"lr": 0.4, "nu_sqrt_n": value, "eta": 2.0}, n, ECDSEP)
    assert list(given) == ["lr", "nu", "eta"]
    assert given["nu"] * math.sqrt(n) == pytest.approx(value, rel=1e-12)


def test_one_minus_is_the_complement():
    given = resolve({"lr": 1.0, "one_minus_beta1": 0.25, "one_minus_beta2": 1e-3}, 7, ADAM)
    assert given == {"lr": 1.0, "beta1": 0.75, "beta2": 0.999}
    sgd = OPTIMIZERS.get("sgd").hyperparameters
    assert resolve({"one_minus_momentum": 0.5}, 7, sgd) == {"momentum": 0.5}


@given(st.dictionaries(st.sampled_from(["lr", "eta", "nu", "s"]), st.floats(1, 9)))
def test_other_values_are_unchanged(params):
    assert resolve(params, 10, ECDSEP) == params


def test_a_space_may_name_what_stands_for_one_of_its_hyperparameters():
    assert set(searchable(ECDSEP)) - set(ECDSEP) == {"nu_sqrt_n", "eta_eff"}
    assert set(searchable(ADAM)) - set(ADAM) == {"one_minus_beta1", "one_minus_beta2"}
    # Its η is an odd whole number, which nothing continuous stands for.
    f0 = OPTIMIZERS.get("ecdsep_f0").hyperparameters
    assert set(searchable(f0)) - set(f0) == {"nu_sqrt_n"}
    # Its ν is ν√n already.
    q1 = OPTIMIZERS.get("ecdq1").hyperparameters
    assert set(searchable(q1)) == set(q1)


def test_a_hyperparameter_of_that_name_is_the_optimizers_own():
    declared = {**ECDSEP, "nu_sqrt_n": DERIVED["nu_sqrt_n"].declared}
    assert resolve({"nu_sqrt_n": 1.0}, 100, declared) == {"nu_sqrt_n": 1.0}
