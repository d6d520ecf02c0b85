"""The test systems against the landscapes of the exact checks, and their options."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecd_tune.errors import TaskError
from ecd_tune.lab import landscapes
from ecd_tune.tasks.systems import (
    NoisyLogistic,
    Quadratic,
    RippledBowl,
    make_noisy_logistic,
    make_quadratic,
    make_rippled_bowl,
)

RNG = np.random.default_rng(4)
LOGISTIC = NoisyLogistic()


def quadratic() -> tuple[Quadratic, landscapes.Quadratic]:
    ours = Quadratic(12, condition=30.0, curvature=0.7, F_min=0.25)
    ladder = np.geomspace(0.7 / np.sqrt(30), 0.7 * np.sqrt(30), 12)
    return ours, landscapes.Quadratic(ladder, 0.25)


PAIRS = {
    "quadratic": quadratic(),
    "rippled bowl": (RippledBowl(), landscapes.RippledBowl()),
    "logistic": (LOGISTIC, landscapes.Logistic(LOGISTIC.signed.numpy())),
}


@pytest.mark.parametrize("name", PAIRS)
def test_loss_and_gradient_are_those_of_the_exact_checks(name: str) -> None:
    ours, theirs = PAIRS[name]
    theta = RNG.standard_normal((6, 20 if name == "logistic" else 12))
    loss, gradient = ours.loss_and_gradient(torch.from_numpy(theta))
    for found, expected in zip((loss, gradient), theirs(theta), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert torch.equal(loss, ours.loss(torch.from_numpy(theta)))


@pytest.mark.parametrize("n", [1, 2, 50])
def test_curvatures_have_the_given_mean_and_condition(n: int) -> None:
    curvatures = make_quadratic(n=n, condition=25.0, curvature=3.0).function.curvatures
    assert curvatures.log().mean().exp().item() == pytest.approx(3.0)
    assert (curvatures[-1] / curvatures[0]).item() == pytest.approx(25.0 if n > 1 else 1.0)


def test_the_lowest_losses_are_those_given() -> None:
    for make in (make_quadratic, make_rippled_bowl):
        task = make(n=7, F_min=0.5)
        loss, gradient = task.loss_and_gradient(torch.zeros(1, 7, dtype=torch.float64))
        assert loss.item() == 0.5
        assert not gradient.any()


def test_a_tenth_of_the_labels_is_wrong_and_data_are_by_their_own_seed() -> None:
    task = make_noisy_logistic(n=3, examples=5000)
    minimiser = landscapes.Logistic(task.function.signed.numpy()).minimiser()
    wrong = (task.function.signed.numpy() @ minimiser < 0).mean()
    assert wrong == pytest.approx(0.1, abs=0.02)
    other = make_noisy_logistic(n=3, examples=5000, data_seed=1)
    assert not torch.equal(task.function.signed, other.function.signed)
    assert torch.equal(task.start([5]), other.start([5]))


def test_normal_starts_have_the_given_spread() -> None:
    theta = make_quadratic(n=40, spread=2.5).start(range(200))
    assert theta.std().item() == pytest.approx(2.5, rel=0.03)
    assert abs(theta.mean().item()) < 5 * 2.5 / np.sqrt(8000)
    assert make_rippled_bowl(n=2, start="ones").start([3]).tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (make_quadratic, {"condition": 0.5}, ["condition = 0.5", ">= 1"]),
        (make_rippled_bowl, {"start": "uniform"}, ["start", "'normal'", "'ones'"]),
        (make_noisy_logistic, {"F_min": 0.1}, ["'F_min'", "examples"]),
    ],
)
def test_wrong_options_say_what_is_allowed(make, options, words) -> None:
    with pytest.raises(TaskError) as error:
        make(**options)
    assert all(word in str(error.value) for word in words)
