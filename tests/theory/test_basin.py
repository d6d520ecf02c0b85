"""Basin: reference values, quadrature of the densities, limits and refused values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from ecd_tune.errors import TheoryError
from ecd_tune.theory import Basin, bounce_cosine, effective_eta, suggest_lr
from tests.oracles.theory_numbers import BETA, EXACT_MODE, MODE, NU_STAR, REGION_MEAN


@pytest.mark.parametrize("row", MODE)
def test_mode_and_speed(row):
    arguments, radius2, energy, potential, speed, hamiltonian, paper = row
    basin = Basin(*arguments)
    assert basin.mode_radius_squared == pytest.approx(radius2, rel=1e-11)
    assert basin.energy == pytest.approx(energy, rel=1e-11)
    assert math.exp(basin.log_energy) == pytest.approx(energy, rel=1e-11)
    assert basin.potential_at_mode == pytest.approx(potential, rel=1e-11)
    assert basin.speed_at_mode == pytest.approx(speed, rel=1e-11)
    assert basin.hamiltonian_speed_at_mode == pytest.approx(hamiltonian, rel=1e-11)
    assert basin.paper_speed_at_mode == pytest.approx(paper, rel=1e-11)


@pytest.mark.parametrize("row", NU_STAR)
def test_nu_star(row):
    arguments, lr, alpha, orbit, coherent, paper, which, printed = row
    basin = Basin(*arguments)
    assert basin.orbit_step(lr) == pytest.approx(alpha, rel=1e-11)
    assert basin.lr_for_orbit_step(alpha) == pytest.approx(lr, rel=1e-11)
    assert basin.nu_star(lr) == pytest.approx(orbit, rel=1e-11)
    assert basin.nu_star(lr, "coherent") == pytest.approx(coherent, rel=1e-11)
    assert basin.nu_star(lr, "paper") == pytest.approx(paper, rel=1e-11)
    if which is not None:
        assert basin.nu_star(lr, which) == pytest.approx(printed, rel=1e-11)


@pytest.mark.parametrize(("arguments", "exact", "seven"), EXACT_MODE)
def test_exact_mode(arguments, exact, seven):
    basin = Basin(*arguments)
    scale = (arguments[2] - arguments[3]) / arguments[4]
    assert basin.exact_mode_radius_squared == pytest.approx(exact * scale, rel=1e-11)
    assert basin.mode_radius_squared == pytest.approx(seven * scale, rel=1e-11)


@pytest.mark.parametrize(("arguments", "nu", "integrator", "mean"), REGION_MEAN)
def test_mean_of_the_region_law(arguments, nu, integrator, mean):
    assert Basin(*arguments).gap_law(nu, integrator).mean() == pytest.approx(mean, rel=1e-11)


@pytest.mark.parametrize(("n", "eta", "mean", "variance", "median", "gap"), BETA)
def test_beta_law(n, eta, mean, variance, median, gap):
    basin = Basin(n, eta, 1.5, 0.5, 3.0, 4.0, 0, 1.0)
    law = basin.gap_law()
    assert law.mean() == pytest.approx(mean, rel=1e-11)
    assert law.mean() == pytest.approx(1 / eta, rel=1e-12)
    assert law.var() == pytest.approx(variance, rel=1e-11)
    assert law.median() == pytest.approx(median, rel=1e-11)
    assert basin.plateau_gap() == pytest.approx(gap, rel=1e-11)


def radial_density(basin, nu, integrator):
    """r^{n−1} V^{−κ} (1−sw)^{n/(1+λ)−1}, formed directly, as a function of r."""
    cosine = 1.0 if integrator == "sync" else bounce_cosine(basin.n, nu)
    kappa = basin.n * effective_eta(basin.eta, basin.n, nu, integrator) / (2 * basin.eta)

    def density(r):
        V = (basin.F_min + basin.curvature * r * r - basin.F0) ** basin.eta
        inside = 1 - basin.s * V / basin.energy
        if inside <= 0:
            return 0.0
        return r ** (basin.n - 1) * V**-kappa * inside ** (basin.n / (1 + cosine) - 1)

    return density


def x_of(basin, r):
    gap = basin.curvature * r * r
    return gap / (gap + basin.F_min - basin.F0)


@pytest.mark.parametrize("integrator", ["sync", "algorithm1"])
@pytest.mark.parametrize("s", [0, 1])
@pytest.mark.parametrize("n", [3, 8, 21])
def test_laws_against_quadrature_in_the_radius(n, s, integrator):
    basin, nu = Basin(n, 2.3, 0.8, 0.2, 1.7, 2.5, s, 0.3), 0.4
    density = radial_density(basin, nu, integrator)
    end = math.sqrt((basin.reachable_gap - 0.6) / 1.7) if s else np.inf
    total, mean, gap = (
        integrate.quad(lambda r, f=f: density(r) * f(r), 0, end, epsabs=0, epsrel=1e-11, limit=400)[
            0
        ]
        for f in (lambda r: 1.0, lambda r: x_of(basin, r), lambda r: 1.7 * r * r)
    )
    law = basin.gap_law(nu, integrator)
    assert law.mean() == pytest.approx(mean / total, rel=1e-9)
    if s or (effective_eta(2.3, n, nu, integrator) - 1) * n > 4:
        assert basin.plateau_gap(nu, integrator) == pytest.approx(gap / total, rel=1e-8)
    middle = math.sqrt(law.median() / (1 - law.median()) * 0.6 / 1.7)
    half = integrate.quad(density, 0, middle, epsabs=0, epsrel=1e-11)[0]
    assert half / total == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("s", [0, 1])
def test_modes_maximise_the_radial_density(s):
    basin = Basin(30, 1.8, 1.0, 0.3, 2.0, 3.0, s, 0.5)
    density = radial_density(basin, 0.0, "sync")
    r = math.sqrt(basin.exact_mode_radius_squared)
    for factor in (1 - 1e-4, 1 + 1e-4):
        assert density(r) > density(factor * r)
    if s:
        assert basin.exact_mode_radius_squared < basin.mode_radius_squared


def test_region_law_has_scipy_s_interface():
    law = Basin(20, 2, 1, 0, 1, 2.5, 1, 0.2).gap_law()
    low, high = law.support()
    assert low == 0
    assert high == pytest.approx(1 - 1 / math.sqrt(2.5**2 * 1.2), rel=1e-13)
    area = integrate.quad(law.pdf, 0, high, epsabs=0, epsrel=1e-11)[0]
    assert area == pytest.approx(1, rel=1e-10)
    for q in (1e-6, 0.2, 0.5, 0.999):
        assert law.cdf(law.ppf(q)) == pytest.approx(q, rel=1e-10)
    part = integrate.quad(law.pdf, 0, 0.3, epsabs=0, epsrel=1e-11)[0]
    assert law.cdf(0.3) == pytest.approx(part, rel=1e-10)
    assert law.sf(0.3) == pytest.approx(1 - part, rel=1e-10)
    assert law.interval(0.9) == pytest.approx((law.ppf(0.05), law.ppf(0.95)))
    assert law.cdf([-1, 0, high, 2]).tolist() == [0, 0, 1, 1]
    assert law.logpdf(high + 1e-6) == -math.inf
    draws = law.rvs(2000, random_state=3)
    assert stats.kstest(draws, law.cdf).pvalue > 0.01
    assert law.std() == pytest.approx(law.var() ** 0.5)


def test_everything_vectorises():
    n, eta, nu = np.array([[10.0], [300.0]]), np.array([1.5, 2.0, 4.0]), 0.1
    for s in (0, 1):
        table = Basin(n, eta, 1.0, 0.2, 2.0, 3.0, s, 0.5)
        names = ("energy", "mode_radius_squared", "exact_mode_radius_squared",
                 "potential_at_mode", "speed_at_mode", "paper_speed_at_mode",
                 "reachable_gap")  # fmt: skip
        law, gap = table.gap_law(nu, "algorithm1"), table.plateau_gap(nu, "algorithm1")
        for i, j in np.ndindex(2, 3):
            one = Basin(n[i, 0], eta[j], 1.0, 0.2, 2.0, 3.0, s, 0.5)
            for name in names:
                value = np.broadcast_to(getattr(table, name), (2, 3))[i, j]
                assert value == pytest.approx(getattr(one, name), rel=1e-13), name
            alone = one.gap_law(nu, "algorithm1")
            assert law.mean()[i, j] == pytest.approx(alone.mean(), rel=1e-13)
            assert law.cdf(0.4)[i, j] == pytest.approx(alone.cdf(0.4), rel=1e-11, abs=1e-13)
            assert gap[i, j] == pytest.approx(one.plateau_gap(nu, "algorithm1"), rel=1e-12)
            for variant in ("orbit", "coherent", "paper"):
                value = table.nu_star(0.1, variant)[i, j]
                assert value == pytest.approx(one.nu_star(0.1, variant), rel=1e-13)


basins = st.builds(
    Basin,
    n=st.integers(2, 10**6),
    eta=st.floats(1.1, 6),
    F_min=st.floats(0.5, 2),
    F0=st.floats(-1, 0.4),
    curvature=st.floats(0.01, 100),
    F_init=st.floats(3, 1e3),
    s=st.just(0),
    delta_energy=st.floats(0.1, 10),
)


@given(basins, st.floats(0, 1))
def test_harmonic_law_and_chaos_lowers_the_plateau_of_algorithm_1(basin, root):
    nu = root / math.sqrt(basin.n)
    for integrator in ("sync", "algorithm1"):
        mean = basin.gap_law(nu, integrator).mean()
        assert mean == pytest.approx(1 / effective_eta(basin.eta, basin.n, nu, integrator))
    if (basin.eta - 1) * basin.n > 2.1:
        quiet, chaotic = basin.plateau_gap(), basin.plateau_gap(nu, "algorithm1")
        assert chaotic <= quiet * (1 + 1e-9)


@given(basins, st.floats(1e-3, 1))
def test_orbit_step_and_its_inverse(basin, alpha):
    lr = basin.lr_for_orbit_step(alpha)
    assert basin.orbit_step(lr) == pytest.approx(alpha, rel=1e-12)
    assert basin.nu_star(lr, "coherent") >= basin.nu_star(lr, "paper")


def test_limits_of_the_printed_nu_star():
    """C13: the printed forms are half of the coherent one, which is not the optimum's."""
    far = Basin(1e8, 2.0, 1, 0, 1, 1e4)
    assert far.nu_star(1e-3, "coherent") / far.nu_star(1e-3, "paper_eq26") == pytest.approx(
        2, rel=1e-6
    )
    flat = Basin(1e8, 1.0, 1, 0.5, 1, 1e15)
    assert flat.nu_star(1.0, "coherent") / flat.nu_star(1.0, "paper_eq27") == pytest.approx(
        2, rel=1e-6
    )
    alpha = far.orbit_step(1e-3)
    assert far.nu_star(1e-3) * 1e4 / math.sqrt(2 * alpha) == pytest.approx(1, rel=1e-6)
    steep = Basin(50, 2.0, 1, 0, 1, 1.5, 0, 1.0)
    assert steep.nu_star(steep.lr_for_orbit_step(1.6), "coherent") == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Basin(10, 2, 1, 1, 1, 4), "need F_min > F0"),
        (lambda: Basin(10, 2, [1, 2], [0, 3], 1, 4), r"F_min = 2.0, F0 = 3.0; .*need F_min > F0"),
        (lambda: Basin(10, 0.9, 1, 0, 1, 4), "eta must be finite and >= 1"),
        (lambda: Basin(10, 2, 1, 0, 0, 4), "curvature must be finite and > 0"),
        (lambda: Basin(10, 2, 1, 0, 1, -4), "V is undefined at the start"),
        (lambda: Basin(10, 2, 1, 0, 1, 4, 0, 0), "s = 0 needs delta_energy > 0"),
        (lambda: Basin(10, 2, 1, 0, 1, 4, 2), "s must be 0 or 1"),
        (lambda: Basin(10, 2, 1, math.nan, 1, 4), "F0 = nan.*must be finite"),
        (lambda: Basin(10, 1, 1, 0, 1, 4, 0, 1).gap_law(), "cannot be normalised"),
        (lambda: Basin(10, 1.1, 1, 0, 1, 4, 0, 1).plateau_gap(), r"needs \(η_eff−1\)n > 2"),
        (lambda: Basin(10, 2, 1, 0, 1, 0.5).gap_law(), "V.Fmin. must lie below 𝓔"),
        (lambda: Basin(99, 1, 1, 0, 1, 4).speed_at_mode, "outside the region that s = 1"),
        (lambda: Basin(10, 2, 1, 0, 1, 4).nu_star(0.1, "best"), "the variants are orbit"),
        (lambda: Basin(10, 2, 1, 0, 1, 4).nu_star(0.0), "lr must be finite and > 0"),
        (lambda: Basin(1, 2, 1, 0, 1, 4).orbit_step(0.1), "mode at 0 for n = 1"),
        (lambda: Basin(10, 2, 1, 0.5, 1, 4).nu_star(0.1, "paper_eq26"), "assumes F0 = 0"),
        (lambda: Basin(10, 1, 1, 0, 1, 400).nu_star(0.1, "paper_eq26"), "assumes η > 1"),
        (lambda: Basin(10, 2, 1, 0, 1, 4).nu_star(0.1, "paper_eq27"), "assumes η = 1"),
        (lambda: Basin(10, 2, 1, 0, 1, 4, 1, 2).nu_star(0.1, "paper_eq26"), "s . δE = 1"),
        (lambda: Basin(10, 2, 1, 0, 1, 4).gap_law().ppf(1.5), "between 0 and 1"),
        (lambda: suggest_lr(0), "n must be finite and >= 1"),
    ],
)
def test_broken_assumptions_are_named(call, message):
    with pytest.raises(TheoryError, match=message):
        call()


def test_suggest_lr_is_the_fit_of_table_5():
    """Least squares on the printed rows, done again here."""
    n = np.array([2e5, 2e5, 12e6, 12e6, 56e6, 110e6])
    lr = np.array([2.8, 1.8, 0.6, 0.1, 0.4, 0.04])
    tuned = np.array([0, 0, 0, 1, 0, 1])
    design = np.stack([np.ones(6), np.log(n), tuned], axis=1)
    front, exponent, factor = np.linalg.lstsq(design, np.log(lr), rcond=None)[0]
    assert exponent == pytest.approx(-0.320, abs=5e-4)
    for size in (1e5, 1e7):
        for fine in (False, True):
            fitted = math.exp(front + exponent * math.log(size) + factor * fine)
            assert suggest_lr(size, fine) == pytest.approx(fitted, rel=0.02)
    assert suggest_lr(np.array([1e4, 1e6])).shape == (2,)
