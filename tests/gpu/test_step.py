"""A fused step equals the step of the reference, for all options."""

from __future__ import annotations

import math

import pytest
import torch
from runs import Fused, Reference, assert_same

F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16

CASES = {
    "calm": {"nu": 0.0},
    "chaotic": {},
    "decay in the loss": {"weight_decay": 0.1},
    "decoupled decay": {"weight_decay": 0.5, "decoupled_weight_decay": True},
    "s = 0": {"s": 0, "delta_energy": 2.0},
    "no conservation": {"conserve_energy": False, "delta_energy": 0.5},
    "rare rescaling": {"eps1": 1e-2},
    "sync": {"integrator": "sync"},
    "sync, calm": {"integrator": "sync", "nu": 0.0},
    "sync, decay": {"integrator": "sync", "weight_decay": 0.1, "nu": 2.0},
    "sync, s = 0": {"integrator": "sync", "s": 0},
}
UNIT_CASES = {
    "calm": {"nu": 0.0},
    "chaotic": {},
    "decay in the loss": {"weight_decay": 0.1},
    "sync": {"integrator": "sync"},
    "sync, first order": {"integrator": "sync", "flow": "first_order"},
    "first order": {"flow": "first_order"},
    "first order, no conservation": {"flow": "first_order", "conserve_energy": False},
}
ECDSEP = {"eta": 3.0, "lr": 0.3, "nu": 0.05}
ECDQ1 = {"eta": 20.0, "lr": 0.3, "nu": 0.3}


def go_on(run, device, steps=4, **options):
    run.step()
    fused = Fused(run, device, **options)
    for _ in range(steps):
        run.step()
        fused.step()
    return fused


@pytest.mark.parametrize("case", CASES)
def test_ecdsep_matches_the_reference(device, case):
    run = Reference("ecdsep", [(70,)], F64, **{**ECDSEP, **CASES[case]})
    assert_same(run, go_on(run, device), 1e-12)
    assert run.state.updates == 5


@pytest.mark.parametrize("case", UNIT_CASES)
def test_ecdq1_matches_the_reference(device, case):
    run = Reference("ecdq1", [(70,)], F64, **{**ECDQ1, **UNIT_CASES[case]})
    assert_same(run, go_on(run, device), 1e-12)
    assert run.state.updates == 5


@pytest.mark.parametrize("name", ["ecdsep", "ecdq1"])
@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_float32(device, name, integrator):
    values = ECDSEP if name == "ecdsep" else ECDQ1
    run = Reference(name, [(70,)], F32, integrator=integrator, **values)
    assert_same(run, go_on(run, device), 1e-6)


SHAPES = {
    "a chunk and more": [(2100,)],
    "several": [(130,), (3, 5), (1,), (0,), (70,)],
    "less than a block in all": [(5,), (1,), (0,), (31,)],
    "an odd end": [(64,), (65,)],
}


@pytest.mark.parametrize("shapes", SHAPES)
def test_shapes(device, shapes):
    run = Reference("ecdsep", SHAPES[shapes], F64, weight_decay=0.1, **ECDSEP)
    assert_same(run, go_on(run, device, steps=3), 1e-12)


def test_tensors_with_their_own_step_size(device):
    run = Reference("ecdsep", [(40,), (30,)], F64, scales=[1.0, 3.0], weight_decay=0.1, **ECDSEP)
    assert_same(run, go_on(run, device), 1e-12)


def test_a_step_size_that_changes(device):
    run = Reference("ecdsep", [(40,), (30,)], F64, **ECDSEP)
    fused = go_on(run, device, steps=1)
    run.lr = [0.2, 0.1]
    fused.kernels.set_rates(run.lr)
    run.step()
    fused.step()
    assert_same(run, fused, 1e-12)


def test_mixed_dtypes(device):
    dtypes = [F32, BF16, F16, F64]
    run = Reference("ecdsep", [(70,)] * 4, dtypes, weight_decay=0.1, **ECDSEP)
    fused = go_on(run, device, steps=0)
    run.step()
    fused.step()
    # The reference rounds Δt (∇F + wd θ) and a norm of float32 numbers; then a number of 16 bits
    # may round the other way.
    for mine, theirs, error in zip(
        fused.theta, run.theta, [1e-6, 2**-7, 2**-10, 1e-7], strict=True
    ):
        torch.testing.assert_close(mine.cpu(), theirs, rtol=error, atol=error)
    for mine, theirs in zip(fused.directions(), run.e, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_sixteen_bit_numbers_are_rounded_once(device):
    run = Reference("ecdsep", [(3000,)], BF16, nu=0.0, eta=3.0, lr=0.3)
    fused = go_on(run, device, steps=0)
    wide = Reference("ecdsep", [(3000,)], F32, nu=0.0, eta=3.0, lr=0.3)
    wide.theta = [t.float() for t in run.theta]
    wide.e, wide.state, wide.number = run.e, run.state, run.number
    loss, grads = run.loss(run.theta)
    wide.step((loss, [g.float() for g in grads]))
    fused.step()
    same = fused.theta[0].cpu() == wide.theta[0].bfloat16()
    assert same.double().mean() > 0.999  # of those near the middle of two, some differ


@pytest.mark.parametrize("on_gap", ["hold", "stop", "shift"])
def test_the_loss_falls_below_its_offset(device, on_gap):
    run = Reference("ecdsep", [(20,)], F64, F0=0.0, on_gap=on_gap, **ECDSEP)
    fused = go_on(run, device, steps=1)
    for offset in (-20.0, -20.0, 5.0):  # below, below, above again
        run.offset = offset
        run.step()
        fused.step()
    assert run.state.counts[0] == {"hold": 2, "stop": 1, "shift": 1}[on_gap]
    assert_same(run, fused, 1e-12)


@pytest.mark.parametrize("reset", [False, True])
def test_algorithm_2(device, reset):
    run = Reference("ecdsep_f0", [(20,)], F64, F0=1.0, eta=3, lr=0.3, nu=0.05, reset_energy=reset)
    fused = go_on(run, device, steps=1)
    run.offset = -float(run.loss(run.theta)[0]) + 0.5
    for _ in range(3):
        run.step()
        fused.step()
    assert run.state.counts[4] >= 1
    assert_same(run, fused, 1e-12)


@pytest.mark.parametrize("name", ["ecdsep", "ecdq1"])
@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nonfinite_values_change_nothing(device, name, what, value):
    values = ECDSEP if name == "ecdsep" else ECDQ1
    run = Reference(name, [(20,)], F32, **values)
    fused = go_on(run, device, steps=0)
    before = [t.clone() for t in (*fused.theta, *fused.momenta)]
    loss, grads = run.loss(run.theta)
    if what == "loss":
        loss = loss * value
    else:
        grads[0][3] = value
    run.step((loss, grads))
    fused.kernels.step(loss.to(device), [g.to(device) for g in grads])
    assert all(map(torch.equal, before, (*fused.theta, *fused.momenta)))
    assert_same(run, fused, 1e-6)
    assert run.state.first_bad == (1 if what == "loss" else -1)


def test_converged(device):
    run = Reference("ecdsep", [(20,)], F64, eps2=1e3, **ECDSEP)
    fused = go_on(run, device, steps=2)
    assert run.state.counts[1] > 0
    assert_same(run, fused, 1e-12)


def test_maximize(device):
    run = Reference("ecdsep", [(70,)], F64, weight_decay=0.1, **ECDSEP)
    run.step()
    fused = Fused(run, device, {"sign": -1.0})
    for _ in range(2):
        loss, grads = run.loss(fused.theta)
        fused.kernels.step(loss, [-g for g in grads])
        run.step()
    assert_same(run, fused, 1e-12)


# ------------------------------------------------------------ a kick against the momentum


def opposed(dtype, n, near, **hp):
    """Return a run whose next kick takes all but ``near`` of the momentum away."""
    run = Reference("ecdsep", [(n,)], dtype, nu=0.0, conserve_energy=False, **hp)
    run.step()
    direction = torch.randn(n, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    direction /= direction.norm()
    run.e = [direction.to(run.e[0].dtype)]
    grads = [(3.7 * run.e[0]).to(dtype)]
    loss = torch.tensor(2.0, dtype=torch.float64)
    kick = math.log(run.rules.constants.eta.item() / 2.0 * run.lr[0] * float(grads[0].norm()))
    run.state = run.state._replace(log_p=torch.tensor(kick + near, dtype=torch.float64))
    return run, (loss, grads)


@pytest.mark.parametrize("near", [1e-3, 1e-6])
def test_a_norm_that_cancels_in_float64(device, near):
    run, given = opposed(F64, 50, near, eta=3.0, lr=0.3)
    given[1][0][0] += 1e-9
    fused = Fused(run, device)
    run.step(given)
    fused.kernels.step(given[0].to(device), [g.to(device) for g in given[1]])
    assert_same(run, fused, 1e-16 / near * 100)


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
@pytest.mark.parametrize("near", [1e-4, 1e-7, 1e-9])
def test_remaining_float32_momentum_has_norm_one(device, integrator, near):
    # The rounding of the numbers is then as large as what remains, and nothing is known of its
    # direction; but the step may not become longer than it should be.
    near = near / 2 if integrator == "sync" else near
    run, given = opposed(F32, 50, near, eta=3.0, lr=0.3, integrator=integrator)
    if integrator == "sync":
        half = run.state.log_p - math.log(2.0)
        run.state = run.state._replace(log_p=torch.logaddexp(half, half + near))
    fused = Fused(run, device)
    fused.kernels.step(given[0].to(device), [g.to(device) for g in given[1]])
    norm = float(fused.momenta[0].double().norm())
    assert norm == 0 or abs(norm - 1) < 1e-5
    assert math.isfinite(float(fused.scalars[0][0])) or norm == 0


def test_nothing_remains_of_a_single_number(device):
    run, given = opposed(F64, 1, 0.0, eta=3.0, lr=0.3)
    run.e = [torch.ones(1, dtype=F64)]
    given[1][0][0] = 1.0
    kick = torch.log(run.rules.constants.eta) - given[0].log() + math.log(run.lr[0])
    run.state = run.state._replace(log_p=kick)
    fused = Fused(run, device)
    fused.kernels.step(given[0].to(device), [g.to(device) for g in given[1]])
    assert torch.isfinite(fused.theta[0]).all()
    assert torch.isfinite(fused.momenta[0]).all()


# ------------------------------------------------------------------- the same bits


def bits(fused):
    return [t.cpu().clone() for t in (*fused.theta, *fused.momenta, *fused.scalars)]


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_neither_programs_nor_a_new_start_change_a_bit(device, integrator):
    run = Reference("ecdsep", [(5000,)], F32, integrator=integrator, **ECDSEP)
    run.step()
    one, other = Fused(run, device), Fused(run, device, programs=(1, 1))
    for number in range(2):
        if number == 1:
            other.kernels = other.make(2)
        one.step()
        other.step()
    assert all(map(torch.equal, bits(one), bits(other)))


def test_gradients_with_other_strides(device):
    run = Reference("ecdsep", [(30, 20), (40,)], F32, **ECDSEP)
    run.step()
    one, other = Fused(run, device), Fused(run, device)
    for _ in range(2):
        one.step()
        loss, (first, second) = run.loss(other.theta)
        strange = torch.empty(20, 30, device=device).t().copy_(first)
        shifted = torch.empty(41, device=device)[1:].copy_(second)
        other.kernels.step(loss, [strange, shifted])
    assert all(map(torch.equal, bits(one), bits(other)))


# ---------------------------------------------------------------------- diagnostics


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
@pytest.mark.parametrize(
    ("name", "values"), [("ecdsep", ECDSEP), ("ecdq1", {}), ("ecdq1", {"flow": "first_order"})]
)
def test_tape_matches_diagnostics(device, integrator, name, values):
    values = values if name == "ecdsep" else {"lr": 0.3, "eta": 20.0, "nu": 0.3, **values}
    run = Reference(name, [(70,)], F64, integrator=integrator, **values)
    fused = go_on(run, device, steps=0, tape=4)
    for offset in (0.0, 0.0, -1e3, 0.0):
        run.offset = offset
        run.step()
        fused.step()
    found = fused.read_tape(4)
    expected = torch.stack(run.rows[1:], dim=1)
    made = expected[0] == 1
    torch.testing.assert_close(found[:2], expected[:2])
    torch.testing.assert_close(
        found[:, made], expected[:, made], rtol=1e-12, atol=1e-12, equal_nan=True
    )
    for _ in range(3):
        run.step()
        fused.step()
    expected = torch.stack(run.rows[-3:], dim=1)
    torch.testing.assert_close(fused.read_tape(3), expected, rtol=1e-12, atol=1e-12, equal_nan=True)
