"""The test functions against exact values, the printed formula and two other gradients."""

import math
from decimal import Decimal, getcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.tasks import differentiate
from ecd_tune.tasks.functions import Ackley, Zakharov

coordinate = st.floats(-5, 5, allow_subnormal=False)


def point(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def zakharov_as_printed(theta: tuple[float, ...]) -> float:
    half = sum(i * x for i, x in enumerate(theta, start=1)) / 2
    return sum(x * x for x in theta) + half**2 + half**4


def ackley_as_printed(x: float, y: float, slope: float) -> float:
    r2 = x * x + y * y
    funnel = 20 * math.exp(-slope * math.sqrt(r2 / 2))
    bumps = math.exp((math.cos(2 * math.pi * x) + math.cos(2 * math.pi * y)) / 2)
    return -funnel - bumps + math.e + 20 + 1e-8 * r2**4


def test_zakharov_at_the_papers_start_is_exact():
    assert Zakharov(10).loss(point(*[1.0] * 10)).item() == 572680.3125


def test_zakharov_at_its_minimum_is_zero():
    loss, gradient = Zakharov(10).loss_and_gradient(torch.zeros(1, 10, dtype=torch.float64))
    assert loss.item() == 0
    assert not gradient.any()


@given(st.lists(coordinate, min_size=1, max_size=12).map(tuple))
def test_zakharov_is_the_printed_formula(theta):
    loss = Zakharov(len(theta)).loss(point(*theta)).item()
    assert loss == pytest.approx(zakharov_as_printed(theta), rel=1e-12)


@pytest.mark.parametrize(("slope", "value"), [(0.2, 10.142532), (0.02, 1.369279)])
def test_ackley_at_the_papers_start(slope, value):
    # 1.369279 was read off a float32 run: 2e-6 is its rounding error where terms near 20 cancel.
    assert Ackley(slope).loss(point(-4, 3)).item() == pytest.approx(value, abs=2e-6)


@given(coordinate, coordinate, st.sampled_from([0.2, 0.02]))
def test_ackley_is_the_printed_formula(x, y, slope):
    # The printed sum loses what is smaller than the rounding error of 20.
    assert Ackley(slope).loss(point(x, y)).item() == pytest.approx(
        ackley_as_printed(x, y, slope), rel=1e-12, abs=2e-14
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("slope", [0.2, 0.02])
def test_ackley_at_its_minimum_is_zero_with_a_finite_gradient(dtype, slope):
    theta = torch.zeros(1, 2, dtype=dtype)
    for loss, gradient in (
        Ackley(slope).loss_and_gradient(theta),
        differentiate(Ackley(slope).loss, theta),
    ):
        assert loss.item() == 0
        assert gradient.isfinite().all()


def test_ackley_keeps_its_precision_near_the_minimum():
    getcontext().prec = 60
    x = Decimal(10) ** -12
    # To first order in x: 20 a x / √2, plus e π² x², relative error of order x.
    exact = 20 * Decimal("0.2") * x / Decimal(2).sqrt()
    assert Ackley(0.2).loss(point(1e-12, 0)).item() == pytest.approx(float(exact), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-160, 1e-200, 1e-300])
def test_ackley_gradient_at_tiny_distances_is_the_slope_of_the_cusp(scale):
    gradient = Ackley(0.2).loss_and_gradient(scale * point(3, -4))[1][0]
    expected = torch.tensor([0.6, -0.8], dtype=torch.float64) * 20 * 0.2 / math.sqrt(2)
    torch.testing.assert_close(gradient, expected)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=5))
def test_ackley_is_never_negative(points):
    assert (Ackley(0.2).loss(torch.tensor(points, dtype=torch.float64)) >= 0).all()


@pytest.mark.parametrize(
    ("function", "n"), [(Zakharov(10), 10), (Zakharov(1), 1), (Ackley(0.2), 2), (Ackley(0.02), 2)]
)
class TestGradients:
    def points(self, n):
        return torch.randn(40, n, dtype=torch.float64, generator=torch.manual_seed(0)) * 2

    def test_against_automatic_differentiation(self, function, n):
        theta = self.points(n)
        own, automatic = function.loss_and_gradient(theta), differentiate(function.loss, theta)
        torch.testing.assert_close(own[0], automatic[0], rtol=0, atol=0)
        torch.testing.assert_close(own[1], automatic[1], rtol=1e-12, atol=1e-12)

    def test_automatic_one_against_finite_differences(self, function, n):
        theta = self.points(n)[:5].requires_grad_(True)
        assert torch.autograd.gradcheck(function.loss, theta)

    def test_a_row_does_not_depend_on_its_batch(self, function, n):
        theta = self.points(n)
        loss, gradient = function.loss_and_gradient(theta)
        for row in range(len(theta)):
            alone = function.loss_and_gradient(theta[row : row + 1])
            assert torch.equal(alone[0][0], loss[row])
            assert torch.equal(alone[1][0], gradient[row])
