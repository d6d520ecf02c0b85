"""The observed orbit step equals that of the theory at the mode."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.optim.dynamics import Constants, PointInfo, evaluate_point
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.optim.self_tuning.orbit import begin_orbit, follow, orbit_nu, orbit_step
from ecd_tune.theory import Basin
from ecd_tune.theory.nu_star import orbit_nu as theory_nu

YES = torch.tensor(True)


def number(value: float) -> torch.Tensor:
    return torch.tensor(float(value), dtype=torch.float64)


def constants(eta: float, F0: float, s: int) -> Constants:
    return Constants(
        eta=number(eta),
        nu=number(0.0),
        s=number(s),
        bounded=torch.tensor(s == 1),
        F0=number(F0),
        conserve=YES,
        log_eps1=number(-math.inf),
        log_eps2=number(-math.inf),
        log_delta=number(0.0),
    )


def look(
    theta: torch.Tensor, loss: float, gradient: torch.Tensor, lr: float, c: Constants
) -> PointInfo:
    return evaluate_point(Algebra(), [theta], number(loss), [gradient], [lr], None, c)


@pytest.mark.parametrize("s", [0, 1])
@pytest.mark.parametrize(
    ("n", "eta", "F0", "curvature"), [(100, 2.0, 0.0, 1.0), (30, 1.5, 0.5, 4.0)]
)
def test_at_the_mode_it_is_the_orbit_step_of_the_basin(
    s: int, n: int, eta: float, F0: float, curvature: float
) -> None:
    basin = Basin(n, eta, 1.0, F0, curvature, 9.0, s=s, delta_energy=1.0)
    theta = torch.full((n,), math.sqrt(basin.mode_radius_squared / n), dtype=torch.float64)
    c, lr = constants(eta, F0, s), 0.07
    seen = look(theta, 1.0 + curvature * float(theta @ theta), 2 * curvature * theta, lr, c)
    energy = number(basin.log_energy)
    orbit = follow(begin_orbit(number(0)), seen, energy, c, number(lr), number(1), YES)
    alpha = float(orbit_step(orbit, number(lr)))
    assert alpha == pytest.approx(basin.orbit_step(lr) * (1 - 1 / n), rel=1e-12)
    nu = float(orbit_nu(number(basin.orbit_step(lr)), n))
    assert nu == pytest.approx(basin.nu_star(lr), rel=1e-12)


@pytest.mark.parametrize("above", [0.0, 0.3], ids=["at rest", "where V exceeds 𝓔"])
def test_speed_is_one_near_the_boundary(above: float) -> None:
    """Beyond it nothing is learnt: Π is not on the energy surface."""
    c = constants(2.0, 0.0, 1)
    gradient = torch.tensor([0.6, 0.8], dtype=torch.float64)
    seen = look(torch.zeros(2, dtype=torch.float64), 4.0, gradient, 0.1, c)
    energy = seen.log_potential - above
    orbit = follow(begin_orbit(number(0)), seen, energy, c, number(0.1), number(1), YES)
    # ½ |G| with |G| = 2 · 1 / 4
    expected = 0.0 if above else 0.25
    assert float(orbit_step(orbit, number(1.0))) == pytest.approx(expected, rel=1e-12)


@given(st.floats(1e-6, 1e6), st.floats(1e-3, 10.0), st.floats(-3.0, 3.0))
def test_invariant_to_units_of_loss_and_step(unit: float, lr: float, excess: float) -> None:
    """α is a pure number: it is the same for c·F, and its rate for any Δt."""
    c = constants(1.7, 0.0, 1)
    theta = torch.tensor([1.0, -2.0], dtype=torch.float64)
    rates = []
    for factor, step in ((1.0, 0.1), (unit, lr)):
        seen = look(theta, 3.0 * factor, theta * factor, step, c)
        start = begin_orbit(number(0))
        energy = seen.log_potential + excess
        orbit = follow(start, seen, energy, c, number(step), number(1), YES)
        rates.append(float(orbit.log_rate))
    assert rates[0] == pytest.approx(rates[1], abs=1e-9)


def test_average_covers_one_orbit_of_allowed_steps() -> None:
    c = constants(2.0, 0.0, 0)
    theta = torch.tensor([1.0], dtype=torch.float64)

    def after(orbit, gradient, lr, allowed=YES):
        seen = look(theta, 2.0, torch.tensor([gradient], dtype=torch.float64), lr, c)
        return follow(orbit, seen, seen.log_potential, c, number(lr), number(1), allowed)

    one = after(begin_orbit(number(0)), 1.0, 0.01)
    two = after(one, math.e, 0.01)
    assert float(two.log_rate - one.log_rate) == pytest.approx(0.5)  # the mean of two
    assert after(one, math.e, 0.01, torch.tensor(False)) == one
    assert after(one, 0.0, 0.01) == one  # a zero gradient says nothing of the orbit
    assert after(one, 1.0, 0.0) == one  # nor does Δt = 0
    long = one._replace(steps=number(1e9))
    # G = e, v = 2: α/Δt = e, of weight α/2π
    assert float(after(long, math.e, 0.01).log_rate) == pytest.approx(0.01 * math.e / math.tau)
    assert float(orbit_step(begin_orbit(number(0)), number(1.0))) == 0.0


@given(st.floats(0.0, 3.1), st.integers(1, 10**7))
def test_nu_is_that_of_the_theory(alpha: float, n: int) -> None:
    assert float(orbit_nu(number(alpha), n)) == pytest.approx(float(theory_nu(n, alpha)), rel=1e-12)
    assert np.isfinite(float(orbit_nu(number(alpha), n)))
