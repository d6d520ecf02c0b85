"""Options and start points of the synthetic tasks."""

import pytest
import torch

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.tasks.synthetic import make_ackley, make_zakharov


def test_fixed_starts_are_the_papers():
    assert make_zakharov().start([0, 5]).tolist() == [[1.0] * 10] * 2
    assert make_ackley().start([0]).tolist() == [[-4.0, 3.0]]


@pytest.mark.parametrize(("make", "n", "high"), [(make_zakharov, 10, 1.5), (make_ackley, 2, 3.0)])
def test_uniform_starts_fill_the_cube(make, n, high):
    theta = make(start="uniform").start(range(2000))
    assert theta.shape == (2000, n)
    assert theta.min() >= 0
    assert theta.max() <= high
    # Mean and standard deviation of U(0, high), five standard errors.
    error = high / 12**0.5 / theta.numel() ** 0.5
    assert abs(theta.mean().item() - high / 2) < 5 * error
    assert theta.std().item() == pytest.approx(high / 12**0.5, rel=0.05)


def test_a_start_depends_on_its_own_seed_alone():
    task = make_zakharov(start="uniform")
    assert torch.equal(task.start([3, 4])[1], task.start([4])[0])


def test_a_start_is_not_the_first_numbers_of_its_seed():
    # Otherwise the start would be made of the same numbers as the optimizer's noise.
    task = make_zakharov(start="uniform")
    naive = torch.rand(10, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert not torch.allclose(task.start([3])[0], 1.5 * naive)


@pytest.mark.parametrize("make", [make_zakharov, make_ackley])
def test_dtype_reaches_parameters_loss_and_gradient(make):
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        problem = make(dtype=name).build(0, Stage.SEARCH)
        loss = problem.closure(0)
        assert {loss.dtype, problem.parameters[0].dtype, problem.parameters[0].grad.dtype} == {
            dtype
        }


def test_dimension_is_an_option():
    assert make_zakharov(n=3).start([0]).shape == (1, 3)
    # Σ1 + (½·6)² + (½·6)⁴
    assert make_zakharov(n=3).build(0, Stage.SEARCH).closure(0).item() == 3 + 9 + 81


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "centre"}, ["start", "'centre'", "'ones'"]),
        ({"n": 0}, ["n = 0", ">= 1"]),
        ({"dtype": "float16"}, ["dtype", "'float64'"]),
        ({"m": 3}, ["'m'", "n, start, dtype"]),
    ],
)
def test_wrong_options_say_what_is_allowed(options, words):
    with pytest.raises(TaskError) as error:
        make_zakharov(**options)
    assert all(word in str(error.value) for word in words)
