"""Least squares against scipy, and errors against the scatter of repeated fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ecd_tune.analysis.checks.fits import fit, share


def line(rng, errors, slope=-2.0, intercept=3.0):
    x = np.linspace(0.2, 1.0, len(errors))
    return x, intercept + slope * x + errors * rng.standard_normal(len(errors))


def test_line_fit_equals_scipys():
    x, y = line(np.random.default_rng(0), np.full(12, 0.3))
    found, known = fit(y, x).estimate(1), stats.linregress(x, y)
    assert found.value == pytest.approx(known.slope)
    assert found.error == pytest.approx(known.stderr)
    half = known.stderr * stats.t.ppf(0.975, 10)
    assert (found.low, found.high) == pytest.approx((known.slope - half, known.slope + half))


def test_errors_of_a_slope_and_of_a_ratio_are_the_scatter_of_repeated_fits():
    rng, errors = np.random.default_rng(1), np.linspace(0.02, 0.2, 20)
    fits = []
    for _ in range(800):
        x, y = line(rng, errors)
        fits.append(fit(y, x, errors=errors))
    for estimates, true in (
        ([f.estimate(1) for f in fits], -2.0),
        ([f.ratio(1, 0) for f in fits], -2 / 3),
    ):
        values = np.array([e.value for e in estimates])
        assert values.mean() == pytest.approx(true, abs=0.01)
        assert np.mean([e.error for e in estimates]) == pytest.approx(values.std(), rel=0.08)
        covered = np.mean([e.low <= true <= e.high for e in estimates])
        assert covered == pytest.approx(0.95, abs=0.03)


def test_two_columns_are_distinguished():
    rng = np.random.default_rng(2)
    x, z = rng.standard_normal((2, 200))
    found = fit(1 + 2 * x - 3 * z + 0.1 * rng.standard_normal(200), x, z)
    np.testing.assert_allclose(found.coefficients, [1, 2, -3], atol=0.05)


def test_no_interval_without_residual_degrees_of_freedom():
    found = fit(np.array([1.0, 2.0]), np.array([0.0, 1.0])).estimate(1)
    assert found.value == pytest.approx(1.0)
    assert not math.isfinite(found.error)
    assert math.isinf(found.high)


def test_share_of_0_or_1_has_an_error_and_an_exact_interval():
    none = share(0, 8)
    assert (none.low, none.value) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 8))
    assert none.error > 0
