"""The phases of a step against exact formulas, and the order of the integrators."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import hyp1f1, loggamma

from ecd_tune.optim.dynamics import (
    Constants,
    Phase,
    advance,
    drift_factor,
    evaluate_point,
    kick,
    log_expm1,
    log_hamiltonian,
    rebase,
    rescale,
    start,
    turn,
)
from ecd_tune.optim.params.blocks import Algebra

ONE, MANY = Algebra(), Algebra(batched=True)
F64 = torch.float64


def scalar(x):
    return torch.tensor(float(x), dtype=F64)


@given(st.floats(1e-300, 600.0))
def test_log_expm1(x):
    assert log_expm1(scalar(x)).item() == pytest.approx(
        math.log(math.expm1(x)), rel=1e-12, abs=1e-13
    )


@given(st.floats(1e3, 1e300))
def test_log_expm1_of_large_numbers_is_the_identity(x):
    assert log_expm1(scalar(x)).item() == x


@given(st.floats(-800, 800), st.sampled_from([0.0, 1.0]))
def test_drift_factor_is_finite_and_bounded(log_p, s):
    value = drift_factor(scalar(log_p), scalar(s)).item()
    assert value >= 0.0
    if s:
        assert value <= 1.0 + 1e-15
    if abs(log_p) < 300:
        p = math.exp(log_p)
        assert value == pytest.approx(2 * p / (p * p + s), rel=1e-12)


def test_drift_factor_at_rest():
    for s in (0.0, 1.0):
        assert drift_factor(scalar(-math.inf), scalar(s)).item() == 0.0


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(-50, 50))
def test_kick_adds_vectors(seed, log_p, log_strength):
    """exp(log_p) e − exp(log_strength) f, where that can be formed directly."""
    gen = np.random.default_rng(seed)
    e, f = gen.normal(size=5), gen.normal(size=5)
    e /= np.linalg.norm(e)
    direct = math.exp(log_p) * e - math.exp(log_strength) * f
    blocks = [torch.from_numpy(e[:2]), torch.from_numpy(e[2:])]
    force = [torch.from_numpy(f[:2]), torch.from_numpy(f[2:])]
    new, log_new = kick(ONE, blocks, scalar(log_p), force, ONE.norm(force), scalar(log_strength))
    got = math.exp(log_new.item()) * torch.cat(new).numpy()
    largest = max(math.exp(log_p), math.exp(log_strength) * np.linalg.norm(f))
    np.testing.assert_allclose(got, direct, rtol=0, atol=1e-14 * largest)


@pytest.mark.parametrize("log_p", [-math.inf, -1e3, 0.0, 1e3])
@pytest.mark.parametrize("size", [0.0, 1e-300, 1.0, 1e150])
@pytest.mark.parametrize("strength", [-math.inf, -1e3, 0.0, 600.0, 1e3])
def test_kick_is_never_nan(log_p, size, strength):
    e = [torch.tensor([0.0, 0.0 if log_p == -math.inf else 1.0], dtype=F64)]
    force = [torch.tensor([size, 0.0], dtype=F64)]
    new, log_new = kick(ONE, e, scalar(log_p), force, ONE.norm(force), scalar(strength))
    assert bool(new[0].isfinite().all())
    assert not math.isnan(log_new.item())
    assert ONE.norm(new).item() == pytest.approx(1.0) or log_new.item() == -math.inf


@given(st.floats(-400, 400), st.floats(-400, 400), st.sampled_from([0.0, 1e-10, 1.0]))
def test_rescale_reaches_the_target_or_changes_nothing(log_p, target, eps1):
    allowed = torch.tensor(True)
    new, changed = rescale(scalar(log_p), scalar(target), allowed, scalar(eps1).log())
    assert new.item() == (target if changed else log_p)
    if max(log_p, target) < 300:
        difference = abs(math.exp(2 * log_p) - math.exp(2 * target))
        scale = math.exp(2 * max(log_p, target))
        if abs(difference - eps1) > 1e-12 * scale:
            assert bool(changed) == (difference > eps1)


def test_rescale_ignores_zero_momentum_and_missing_target():
    allowed, eps1 = torch.tensor(True), scalar(1e-10).log()
    assert rescale(scalar(-math.inf), scalar(1.0), allowed, eps1)[0].item() == -math.inf
    assert rescale(scalar(1.0), scalar(math.nan), allowed, eps1)[0].item() == 1.0
    assert rescale(scalar(1.0), scalar(2.0), torch.tensor(False), eps1)[0].item() == 1.0


@pytest.mark.parametrize(("n", "nu"), [(10, 0.1), (100, 0.1), (100, 0.5)])
def test_turn_keeps_the_norm_and_has_the_mean_cosine_of_theory_1_4(n, nu):
    """λ(n, ν) exactly; its values are those of theory §5 (C01)."""
    gen = torch.Generator().manual_seed(7)
    trials = 40_000
    e = torch.zeros(trials, n, dtype=F64)
    e[:, 0] = 1.0
    z = torch.randn(trials, n, generator=gen, dtype=F64)
    log_p = torch.zeros(trials, dtype=F64)
    turned, length = turn(MANY, [e], log_p, [z], torch.full((trials,), nu, dtype=F64))
    torch.testing.assert_close(MANY.norm(turned), torch.ones(trials, dtype=F64))
    torch.testing.assert_close(length, MANY.norm([e + nu * z]))
    mean = turned[0][:, 0].mean().item()
    log_front = loggamma((n + 1) / 2) - loggamma(n / 2 + 1) - math.log(math.sqrt(2) * nu)
    exact = math.exp(log_front) * hyp1f1(0.5, n / 2 + 1, -1 / (2 * nu**2))
    assert abs(mean - exact) < 4 * turned[0][:, 0].std().item() / math.sqrt(trials)


def test_turn_ignores_zero_momentum():
    zero = torch.zeros(3, dtype=F64)
    turned, length = turn(ONE, [zero], scalar(-math.inf), [torch.ones(3, dtype=F64)], scalar(0.5))
    assert torch.equal(turned[0], zero)
    assert length.isnan()


def energy_error(integrator, s, delta, eta, dt):
    """Mean over 64 trajectories of the largest |log H − log 𝓔| in time 2 (C02, C03)."""
    gen, trials, n = torch.Generator().manual_seed(11), 64, 10
    scale = torch.linspace(0.5, 2.0, n, dtype=F64).square()
    theta = torch.randn(trials, n, generator=gen, dtype=F64)
    theta = math.sqrt(3.0) * theta / theta.norm(dim=1, keepdim=True)
    e = torch.randn(trials, n, generator=gen, dtype=F64)
    column = torch.ones(trials, dtype=F64)
    constants = Constants(
        eta=eta * column,
        nu=0 * column,
        s=s * column,
        bounded=s * column == 1,
        F0=0 * column,
        conserve=torch.zeros(trials, dtype=torch.bool),
        log_eps1=column,
        log_eps2=-math.inf * column,
        log_delta=(delta * column).log(),
    )
    loss, lr = (theta.square() @ scale + 1), [torch.full((trials, 1), dt, dtype=F64)]
    log_energy = eta * loss.log() + math.log(s + delta)
    half_log = 0.5 * math.log(delta) * column
    phase = Phase([e / e.norm(dim=1, keepdim=True)], half_log, log_energy, column.long() * 0)
    worst = torch.zeros(trials, dtype=F64)
    for _ in range(round(2.0 / dt)):
        loss = theta.square() @ scale + 1
        seen = evaluate_point(MANY, [theta], loss, [2 * scale * theta], lr, None, constants)
        moved, phase, info = advance(MANY, phase, seen, lr, None, constants, integrator)
        now = log_hamiltonian(info.log_p, seen.log_potential, constants.s)
        worst = torch.maximum(worst, (now - log_energy).abs())
        theta = theta + moved[0]
    return worst.mean().item()


@pytest.mark.parametrize(("integrator", "order"), [("algorithm1", 1.0), ("sync", 2.0)])
@pytest.mark.parametrize(("s", "delta"), [(0, 1.0), (1, 3.0)])
@pytest.mark.parametrize("eta", [1.5, 3.0])
def test_order_of_the_energy_error(integrator, order, s, delta, eta):
    coarse, fine = (energy_error(integrator, s, delta, eta, dt) for dt in (0.02, 0.005))
    assert math.log(coarse / fine, 4.0) == pytest.approx(order, abs=0.1)


def test_conserved_energy_is_exact_after_the_rescale():
    """With consEn, V(Π² + s) is 𝓔 at every step, for s = 0 and s = 1."""
    for s in (0, 1):
        column = scalar(1.0)
        constants = Constants(
            eta=2 * column,
            nu=column * 0,
            s=s * column,
            bounded=torch.tensor(s == 1),
            F0=column * 0,
            conserve=torch.tensor(True),
            log_eps1=scalar(1e-10).log(),
            log_eps2=scalar(1e-40).log(),
            log_delta=scalar(1.0).log(),
        )
        theta = torch.tensor([1.0, 2.0], dtype=F64)
        phase = Phase(
            [torch.tensor([0.6, 0.8], dtype=F64)], column * 0, scalar(3.6), torch.tensor(0)
        )
        for _ in range(40):
            weights = torch.tensor([1.0, 2.0], dtype=F64)
            loss, g = (weights * theta**2).sum() + 1, 2 * weights * theta
            seen = evaluate_point(ONE, [theta], loss, [g], [0.05], None, constants)
            moved, phase, info = advance(ONE, phase, seen, [0.05], None, constants, "algorithm1")
            now = log_hamiltonian(info.log_p, seen.log_potential, constants.s).item()
            if not info.unreachable:
                assert now == pytest.approx(3.6, abs=1e-9)
            theta = theta + moved[0]


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
@pytest.mark.parametrize("ratio", [0.25, 3.0])
def test_rebase_is_a_symmetry_of_a_quadratic_basin(integrator, ratio):
    """With D → ρD, Π and 𝓔 rebased and Θ → √ρΘ, each step is √ρ times the old one (s = 0)."""
    curvature = torch.tensor([1.0, 0.4, 2.5], dtype=F64)
    constants = Constants(
        eta=scalar(2.7),
        nu=scalar(0.0),
        s=scalar(0.0),
        bounded=torch.tensor(False),
        F0=scalar(0.3),
        conserve=torch.tensor(True),
        log_eps1=scalar(-math.inf),
        log_eps2=scalar(-math.inf),
        log_delta=scalar(0.0),
    )

    def follow(theta, phase, depth):
        for _ in range(20):
            loss, gradient = 0.3 + depth + curvature @ theta.square(), 2 * curvature * theta
            seen = evaluate_point(ONE, [theta], loss, [gradient], [0.05], None, constants)
            if phase is None:
                phase = start(ONE, [gradient], [gradient], seen, constants)
                yield theta, phase
            (moved,), phase, _ = advance(ONE, phase, seen, [0.05], None, constants, integrator)
            theta = theta + moved
            yield theta, phase

    way = list(follow(torch.tensor([1.0, -2.0, 0.7], dtype=F64), None, 1.5))
    theta, phase = way[0]
    log_ratio = scalar(math.log(ratio))
    log_p, log_energy = rebase(phase.log_p, phase.log_energy, log_ratio, constants.eta)
    scaled = phase._replace(log_p=log_p, log_energy=log_energy)
    other = [place for place, _ in follow(theta * ratio**0.5, scaled, 1.5 * ratio)]
    for (place, _), image in zip(way[1:], other, strict=True):
        torch.testing.assert_close(image, place * ratio**0.5, rtol=1e-11, atol=1e-12)
