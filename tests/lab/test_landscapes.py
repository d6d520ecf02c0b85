"""The exact systems: gradients against differences, and minima."""

from __future__ import annotations

import numpy as np
import pytest

from ecd_tune.lab.landscapes import (
    Ackley,
    Logistic,
    Quadratic,
    RippledBowl,
    directions,
    isotropic,
)

LANDSCAPES = {
    "quadratic": (Quadratic(np.array([0.3, 1.0, 2.0]), 0.7), 3),
    "isotropic": (isotropic(4), 4),
    "rippled": (RippledBowl(), 3),
    "logistic": (Logistic.random(np.random.default_rng(0), 30, 5), 5),
    "ackley": (Ackley(), 2),
}


@pytest.mark.parametrize("name", LANDSCAPES)
def test_gradients_match_the_losses(name):
    landscape, n = LANDSCAPES[name]
    theta = np.random.default_rng(1).standard_normal((6, n))
    loss, gradient = landscape(theta)
    assert (loss.shape, gradient.shape) == ((6,), (6, n))
    for i in range(n):
        shift = np.zeros(n)
        shift[i] = 1e-6
        slope = (landscape(theta + shift)[0] - landscape(theta - shift)[0]) / 2e-6
        np.testing.assert_allclose(gradient[:, i], slope, rtol=1e-6, atol=1e-7)


def test_minima():
    zero = np.zeros((1, 3))
    assert RippledBowl()(zero)[0] == 1.0
    assert Quadratic(np.ones(3), 0.7)(zero)[0] == 0.7
    logistic = LANDSCAPES["logistic"][0]
    centre = logistic.minimiser()
    assert np.linalg.norm(logistic(centre[None])[1]) < 1e-12
    assert Ackley()(np.full((1, 2), 1e-12))[0][0] == pytest.approx(0.0, abs=1e-10)


def test_ackley_matches_the_task():
    from torch import from_numpy

    from ecd_tune.tasks.functions import Ackley as Task

    theta = np.random.default_rng(2).uniform(-5, 5, (20, 2))
    loss, gradient = Task().loss_and_gradient(from_numpy(theta))
    mine = Ackley()(theta)
    np.testing.assert_allclose(mine[0], loss.numpy(), rtol=1e-10)
    np.testing.assert_allclose(mine[1], gradient.numpy(), rtol=1e-9, atol=1e-11)


def test_directions_are_unit_and_unbiased():
    rows = directions(np.random.default_rng(0), 20_000, 3)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0)
    assert np.abs(rows.mean(axis=0)).max() < 4 / np.sqrt(3 * 20_000)
