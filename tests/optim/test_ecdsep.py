"""Errors of the public implementation (W1-W23 of the protocols), and refused values."""

from __future__ import annotations

import copy
import io
import math
import pickle

import pytest
import torch

from ecd_tune.errors import HyperparameterError, NonFiniteLossError
from ecd_tune.optim.ecdsep import ECDSep, make


def parameter(values, dtype=torch.float64):
    return torch.nn.Parameter(torch.tensor(values, dtype=dtype))


def bowl(*params, offset=0.5):
    return sum((p.abs() ** 2).double().sum() for p in params) + offset


def descend(optimizer, params, steps, offset=0.5):
    def closure():
        optimizer.zero_grad()
        loss = bowl(*params, offset=offset)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(steps)]


def finite(*params):
    return all(bool(p.detach().isfinite().all()) for p in params)


# --- W1: groups and schedulers


def test_w1_group_with_lr_zero_does_not_move_and_others_do():
    a, b = parameter([1.0, 2.0]), parameter([1.0])
    optimizer = ECDSep([{"params": [a]}, {"params": [b]}], lr=0.1, eta=2.0)
    optimizer.param_groups[1]["lr"] = 0.0
    descend(optimizer, [a, b], 5)
    assert b.item() == 1.0
    assert a[0].item() != 1.0


def test_w1_scheduler_changes_the_step_length():
    p = parameter([5.0, 5.0])
    optimizer = ECDSep([p], lr=0.1, eta=1.0, s=0, delta_energy=1.0, nu=0.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    lengths = []
    for _ in range(3):
        before = p.detach().clone()
        descend(optimizer, [p], 1)
        schedule.step()
        lengths.append((p.detach() - before).norm().item())
    assert lengths[1] / lengths[0] == pytest.approx(0.5, rel=0.05)
    assert lengths[2] / lengths[1] == pytest.approx(0.5, rel=0.05)


def test_w1_weight_decay_is_per_group():
    """At zero gradient only the group with weight decay is pulled, towards the origin."""
    a, b = parameter([1.0]), parameter([1.0])
    groups = [{"params": [a], "weight_decay": 0.5}, {"params": [b]}]
    optimizer = ECDSep(groups, lr=0.1, eta=1.0, nu=0.0)
    a.grad, b.grad = torch.zeros(1).double(), torch.zeros(1).double()
    optimizer.step(loss=1.0)
    assert a.item() < 1.0
    assert b.item() == 1.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eta", 3.0),
        ("nu", 0.1),
        ("s", 0),
        ("F0", -1.0),
        ("conserve_energy", False),
        ("delta_energy", 2.0),
    ],
)
def test_w1_global_hyperparameters_may_not_differ(key, value):
    groups = [{"params": [parameter([1.0])]}, {"params": [parameter([1.0])], key: value}]
    with pytest.raises(HyperparameterError, match=key):
        ECDSep(groups, eta=2.0)


# --- W2: resuming


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
@pytest.mark.parametrize("how", ["file", "pickle", "deepcopy"])
def test_w2_resumed_run_is_bit_equal(how, integrator):
    options = {"lr": 0.2, "eta": 2.0, "nu": 0.3, "integrator": integrator}
    params = [parameter([1.0, 2.0, -1.0]), parameter([[0.5]])]
    optimizer = ECDSep(params, seed=5, **options)
    descend(optimizer, params, 7)
    if how == "file":
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        others = [torch.nn.Parameter(p.detach().clone()) for p in params]
        other = ECDSep(others, seed=99, **options)
        other.load_state_dict(torch.load(file, weights_only=True))
    else:
        both = (optimizer, params)
        other, others = pickle.loads(pickle.dumps(both)) if how == "pickle" else copy.deepcopy(both)
    assert other.report() == optimizer.report()
    assert descend(other, others, 9) == descend(optimizer, params, 9)
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))


def test_w2_state_is_not_shared_with_the_dictionary():
    params, others = [parameter([1.0, 2.0])], [parameter([1.0, 2.0])]
    optimizer = ECDSep(params, lr=0.1, eta=2.0, nu=0.1, seed=1)
    descend(optimizer, params, 3)
    state = optimizer.state_dict()
    other = ECDSep(others, lr=0.1, eta=2.0, nu=0.1, seed=2)
    other.load_state_dict(state)
    kept = copy.deepcopy(state)
    descend(other, others, 3)
    assert torch.equal(kept["state"][0]["direction"], state["state"][0]["direction"])
    log_p, now = (s["param_groups"][0]["trajectory"]["log_p"] for s in (kept, state))
    assert torch.equal(log_p, now)


def test_w2_foreign_state_is_refused():
    p = parameter([1.0])
    with pytest.raises(HyperparameterError, match="trajectory"):
        ECDSep([p], eta=1.0).load_state_dict(torch.optim.SGD([p], lr=0.1).state_dict())


def test_w2_half_precision_momentum_keeps_float32_through_loading():
    p = parameter([1.0, 2.0], torch.bfloat16)
    optimizer = ECDSep([p], lr=0.1, eta=2.0, seed=1)
    descend(optimizer, [p], 3)
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state[p]["direction"].dtype == torch.float32


# --- W3: seeds


def run_noisy(seed, ambient=0):
    p = parameter([1.0, 2.0])
    torch.manual_seed(ambient)
    optimizer = ECDSep([p], lr=0.1, eta=2.0, nu=0.5, seed=seed)
    return descend(optimizer, [p], 8)


def test_w3_noise_follows_the_seed():
    assert run_noisy(1, ambient=0) == run_noisy(1, ambient=1)
    assert run_noisy(1) != run_noisy(2)


def test_w3_without_a_seed_the_global_generator_is_used():
    assert run_noisy(None, ambient=4) == run_noisy(None, ambient=4)
    assert run_noisy(None, ambient=4) != run_noisy(None, ambient=5)


# --- W4 to W7: gradients and layouts


def test_w4_parameter_without_gradient_is_ignored():
    a, b, alone = parameter([1.0, 2.0]), parameter([3.0]), parameter([1.0, 2.0])
    both = ECDSep([a, b], lr=0.1, eta=2.0, nu=0.0)
    one = ECDSep([alone], lr=0.1, eta=2.0, nu=0.0)
    assert descend(both, [a], 9) == descend(one, [alone], 9)
    assert torch.equal(a, alone)
    assert b.item() == 3.0


def test_w4_momentum_is_kept_and_restored():
    """Π of each block, exp(log|Π|)·e, is unchanged by leaving and by coming back."""
    a, b = parameter([1.0, 2.0]), parameter([3.0])
    optimizer = ECDSep([a, b], lr=0.1, eta=2.0, nu=0.0, conserve_energy=False)
    descend(optimizer, [a, b], 5)

    def momentum(p):
        return math.exp(optimizer.report()["log_momentum"]) * optimizer.state[p]["direction"]

    before = momentum(b)
    b.grad = None
    optimizer.step(loss=bowl(a, b).item())
    kept = momentum(a)
    a.grad, b.grad = torch.zeros_like(a), torch.zeros_like(b)
    optimizer.step(loss=bowl(a, b).item())
    torch.testing.assert_close(momentum(b), before, rtol=1e-12, atol=0)
    torch.testing.assert_close(momentum(a), kept, rtol=1e-12, atol=0)


def test_w5_channels_last_and_transposed():
    plain = parameter(torch.arange(1.0, 25.0).reshape(2, 3, 2, 2).tolist())
    last = torch.nn.Parameter(plain.detach().clone(memory_format=torch.channels_last))
    turned = torch.nn.Parameter(plain.detach().clone().permute(3, 2, 1, 0).contiguous())
    view = turned.permute(3, 2, 1, 0)
    losses = []
    for p in (plain, last):
        optimizer = ECDSep([p], lr=0.1, eta=2.0, nu=0.1, seed=1)
        losses.append(descend(optimizer, [p], 5))
    assert not view.is_contiguous()
    odd = torch.nn.Parameter(view.detach())
    assert not odd.is_contiguous()
    losses.append(descend(ECDSep([odd], lr=0.1, eta=2.0, nu=0.1, seed=1), [odd], 5))
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)
    assert losses[2] == pytest.approx(losses[0], rel=1e-12)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_w6_sparse_gradient_equals_dense():
    ends = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = torch.nn.Embedding(5, 3, sparse=sparse)
        optimizer = ECDSep(table.parameters(), lr=0.1, eta=2.0, nu=0.1, seed=1)
        for _ in range(4):
            optimizer.zero_grad()
            loss = table(torch.tensor([0, 3])).square().sum() + 0.1
            loss.backward()
            optimizer.step(loss=loss)
        ends.append(table.weight.detach())
    assert torch.equal(*ends)


def test_w7_complex_equals_two_reals():
    z = torch.nn.Parameter(torch.tensor([1 + 2j, -0.5 + 0.1j], dtype=torch.complex128))
    pair = parameter([[1.0, 2.0], [-0.5, 0.1]])
    losses = [descend(ECDSep([p], lr=0.1, eta=2.0, nu=0.2, seed=1), [p], 6) for p in (z, pair)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    torch.testing.assert_close(torch.view_as_real(z.detach()), pair.detach())


def test_w7_sparse_and_integer_parameters_are_refused():
    sparse = torch.eye(2).to_sparse().requires_grad_()
    with pytest.raises(HyperparameterError, match="sparse"):
        ECDSep([sparse], eta=1.0)
    with pytest.raises(HyperparameterError, match="int64"):
        ECDSep([torch.arange(3)], eta=1.0)


def test_empty_group_and_empty_tensor():
    p, empty = parameter([1.0]), parameter([])
    optimizer = ECDSep([{"params": [p, empty]}, {"params": []}], lr=0.1, eta=2.0)
    losses = descend(optimizer, [p, empty], 10)
    assert losses[-1] < losses[0]


def test_no_gradient_at_all_changes_nothing():
    p = parameter([1.0])
    optimizer = ECDSep([p], eta=1.0)
    assert optimizer.step(loss=1.0) == 1.0
    assert p.item() == 1.0


# --- W8: zero gradients


@pytest.mark.parametrize("delta", [0.0, 1.0])
@pytest.mark.parametrize("nu", [0.0, 0.3])
def test_w8_zero_first_gradient(delta, nu):
    """Without initial energy it rests; with it, it leaves in a random, seeded direction."""
    p = parameter([1.0, 1.0])
    optimizer = ECDSep([p], lr=0.1, eta=2.0, delta_energy=delta, nu=nu, seed=3)
    p.grad = torch.zeros_like(p)
    optimizer.step(loss=1.0)
    length = (p.detach() - 1).norm().item()
    assert length == pytest.approx(0.1 if delta else 0.0, abs=1e-12)  # 2 lr |Π|/(Π²+1) at |Π|=1
    descend(optimizer, [p], 5)
    assert finite(p)


def test_w8_later_zero_gradient_keeps_the_momentum():
    p = parameter([1.0, 1.0])
    optimizer = ECDSep([p], lr=0.1, eta=2.0, nu=0.0, conserve_energy=False)
    descend(optimizer, [p], 3)
    before, log_p = p.detach().clone(), optimizer.report()["log_momentum"]
    p.grad = torch.zeros_like(p)
    optimizer.step(loss=1.0)
    assert optimizer.report()["log_momentum"] == pytest.approx(log_p, rel=1e-14)
    assert not torch.equal(before, p.detach())


# --- W9, W10: range of numbers


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("s", [0, 1])
def test_w9_energy_survives_a_huge_loss(dtype, s):
    p = parameter([1.0, -1.0], dtype)
    optimizer = ECDSep([p], lr=0.05, eta=5.0, s=s, seed=1)

    def closure():
        optimizer.zero_grad()
        loss = 1e30 * (p.square().sum() + 0.1)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(100)]
    assert finite(p)
    assert math.isfinite(optimizer.report()["log_energy"])
    assert min(losses) < 0.5 * losses[0]


def test_w9_huge_offset():
    p = parameter([1.0, -1.0])
    optimizer = ECDSep([p], lr=0.05, eta=5.0, F0=-1e30, s=0)
    descend(optimizer, [p], 20)
    report = optimizer.report()
    assert report["updates"] == 20
    assert report["log_energy"] == pytest.approx(5 * 30 * math.log(10))


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
@pytest.mark.parametrize("s", [0, 1])
def test_w10_momentum_beyond_float32(s, integrator):
    """V falls by 1e80 from the start: Π² = 𝓔/V is far above what float32 can hold."""
    p = parameter([1.0], torch.float32)
    optimizer = ECDSep([p], lr=0.1, eta=4.0, s=s, nu=0.1, seed=1, integrator=integrator, eps2=0.0)
    for scale in (1e10, 1.0, 1e-10, 1e-18):
        p.grad = torch.tensor([2.0 * scale])
        optimizer.step(loss=scale)
    assert finite(p)
    assert optimizer.report()["log_momentum"] > 0.5 * math.log(3.4e38)


def test_w10_huge_kick_is_harmless():
    p = parameter([1.0], torch.float32)
    optimizer = ECDSep([p], lr=1.0, eta=4.0, eps2=0.0)
    p.grad = torch.tensor([3e38])
    optimizer.step(loss=1e-38)
    assert finite(p)
    assert optimizer.report()["log_momentum"] > 170


# --- W11 to W13: the edges of the loss


def test_w11_convergence_is_reported_and_can_end():
    p = parameter([1.0])
    optimizer = ECDSep([p], lr=0.1, eta=4.0)
    descend(optimizer, [p], 2)
    energy, before = optimizer.report()["log_energy"], p.item()
    p.grad = torch.ones_like(p)
    optimizer.step(loss=1e-11)  # V = 1e-44
    report = optimizer.report()
    assert report["converged"]
    assert report["converged_steps"] == 1
    assert p.item() == before
    optimizer.step(loss=1.0)
    assert not optimizer.report()["converged"]
    assert optimizer.report()["log_energy"] == energy
    assert p.item() != before


def test_w11_start_inside_the_converged_region_initialises_once():
    p = parameter([1.0])
    optimizer = ECDSep([p], lr=0.1, eta=4.0)
    for loss in (1e-11, 1e-12, 2.0):
        p.grad = torch.ones_like(p)
        optimizer.step(loss=loss)
    assert optimizer.report()["log_energy"] == pytest.approx(4 * math.log(1e-11))


@pytest.mark.parametrize("eta", [1.0, 1.7, 2.0, 3.0])
def test_w12_hold_skips_counts_and_continues(eta):
    p = parameter([1.0])
    optimizer = ECDSep([p], lr=0.1, eta=eta, F0=0.0)
    descend(optimizer, [p], 2)
    before = p.item()
    for loss in (0.0, -1.0):
        optimizer.step(loss=loss)
    assert p.item() == before
    assert optimizer.report()["held"] == 2
    optimizer.step(loss=0.9)
    assert p.item() != before
    assert finite(p)


def test_w12_held_from_the_first_step_starts_later():
    p = parameter([1.0])
    optimizer = ECDSep([p], lr=0.1, eta=2.0)
    p.grad = torch.ones_like(p)
    optimizer.step(loss=-1.0)
    assert optimizer.report()["log_energy"] is None
    optimizer.step(loss=3.0)
    assert optimizer.report()["log_energy"] == pytest.approx(2 * math.log(3.0))


def test_w12_stop_is_permanent():
    p = parameter([1.0])
    optimizer = ECDSep([p], lr=0.1, eta=2.0, on_gap="stop")
    descend(optimizer, [p], 2)
    before = p.item()
    optimizer.step(loss=-1.0)
    assert descend(optimizer, [p], 5) == [before**2 + 0.5] * 5
    assert optimizer.report()["stopped"]
    assert p.item() == before


@pytest.mark.parametrize("loss", [-1.0, -1e-9, 0.0, -1e20])
@pytest.mark.parametrize("eta", [1.0, 5.0])
def test_w12_shift_lowers_f0_by_five_depths(loss, eta):
    p = parameter([1.0])
    optimizer = ECDSep([p], lr=0.1, eta=eta, on_gap="shift")
    descend(optimizer, [p], 2)
    before = p.item()
    optimizer.step(loss=loss)
    report = optimizer.report()
    assert p.item() == before
    assert report["shifts"] == 1
    depth = max(abs(loss), 1e-40 ** (1 / eta))
    assert loss - report["F0"] == pytest.approx(5 * depth - abs(loss), rel=1e-9)
    optimizer.step(loss=loss)
    assert optimizer.report()["updates"] == 3
    assert not optimizer.report()["converged"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("way", ["loss", "closure"])
def test_w13_bad_loss_raises_and_changes_nothing(bad, way):
    p = parameter([1.0])
    optimizer = ECDSep([p], lr=0.1, eta=2.0)
    descend(optimizer, [p], 2)
    before, report = p.item(), optimizer.report()
    call = {"loss": bad} if way == "loss" else {"closure": lambda: torch.tensor(bad)}
    with pytest.raises(NonFiniteLossError, match="step 2"):
        optimizer.step(**call)
    assert p.item() == before
    assert optimizer.report() == report


def test_w13_bad_gradient_is_skipped_and_counted():
    p = parameter([1.0, 1.0])
    optimizer = ECDSep([p], lr=0.1, eta=2.0)
    for bad in (math.nan, math.inf):
        p.grad = torch.tensor([bad, 1.0]).double()
        optimizer.step(loss=1.0)
    assert optimizer.report()["bad_gradients"] == 2
    assert p.tolist() == [1.0, 1.0]
    descend(optimizer, [p], 3)
    assert optimizer.report()["updates"] == 3


# --- W14 to W20: dtypes, calls, late parameters, scaler


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_w14_half_precision_keeps_dtypes(dtype):
    p, q = parameter([1.0, 2.0], dtype), parameter([1.0], torch.float64)
    optimizer = ECDSep([p, q], lr=0.2, eta=2.0, nu=0.1, weight_decay=0.1, seed=1)
    losses = descend(optimizer, [p, q], 30)
    assert p.dtype == dtype
    assert optimizer.state[p]["direction"].dtype == torch.float32
    assert optimizer.state[q]["direction"].dtype == torch.float64
    assert min(losses) < 0.5 * losses[0]


def test_w15_no_cancellation_near_the_start():
    """At V = 𝓔(1 − 1e-12) the momentum is right to 1e-3, where 𝓔/V − 1 in float32 is 0."""
    p = parameter([1.0])
    optimizer = ECDSep([p], lr=1e-30, eta=1.0, nu=0.0, eps1=0.0)
    p.grad = torch.ones_like(p)
    optimizer.step(loss=1.0)
    p.grad = torch.zeros_like(p)
    optimizer.step(loss=1.0 - 1e-12)
    assert math.exp(2 * optimizer.report()["log_momentum"]) == pytest.approx(1e-12, rel=1e-3)


def test_w16_calls():
    p = parameter([1.0])
    optimizer = ECDSep([p], eta=1.0)
    p.grad = torch.ones_like(p)
    for call in (
        lambda: optimizer.step(),
        lambda: optimizer.step(None),
        lambda: optimizer.step(lambda: None),
        lambda: optimizer.step(lambda: 1.0, loss=1.0),
    ):
        with pytest.raises(TypeError, match="loss"):
            call()
    assert optimizer.step(lambda: 2.0) == 2.0
    loss = torch.tensor(1.5)
    assert optimizer.step(loss=loss) is loss


def test_w17_late_parameters_start_with_zero_momentum():
    a, b = parameter([1.0, 2.0]), parameter([1.0])
    optimizer = ECDSep([a], lr=0.1, eta=2.0, nu=0.1, seed=1)
    descend(optimizer, [a], 3)
    energy = optimizer.report()["log_energy"]
    optimizer.add_param_group({"params": [b], "lr": 0.05})
    losses = descend(optimizer, [a, b], 20)
    assert finite(a, b)
    assert b.item() != 1.0
    assert losses[-1] < losses[0]
    assert optimizer.report()["log_energy"] == energy


def test_w17_refused_group_changes_nothing():
    optimizer = ECDSep([parameter([1.0])], eta=2.0)
    with pytest.raises(HyperparameterError, match="eta"):
        optimizer.add_param_group({"params": [parameter([1.0])], "eta": 3.0})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("eta", 0.99, ">= 1"),
        ("eta", math.nan, ">= 1"),
        ("lr", 0.0, "> 0"),
        ("lr", -1.0, "> 0"),
        ("lr", math.inf, "finite"),
        ("s", 2, "0, 1"),
        ("s", True, "number"),
        ("nu", -1e-9, ">= 0"),
        ("nu", math.nan, ">= 0"),
        ("F0", math.nan, "finite"),
        ("delta_energy", -1.0, ">= 0"),
        ("weight_decay", -1.0, ">= 0"),
        ("eps1", -1.0, ">= 0"),
        ("eps2", math.nan, ">= 0"),
        ("integrator", "euler", "'sync'"),
        ("on_gap", "ignore", "'hold'"),
        ("conserve_energy", "False", "true or false"),  # W23
        ("eta", "2", "number"),
    ],
)
def test_w18_bad_values_name_the_value_and_the_rule(key, value, allowed):
    with pytest.raises(HyperparameterError) as error:
        ECDSep([parameter([1.0])], **{"eta": 2.0, key: value})
    assert f"{key} = {value!r}" in str(error.value)
    assert allowed in str(error.value)


def test_w18_group_values_are_checked_too():
    with pytest.raises(HyperparameterError, match=r"lr = -1"):
        ECDSep([{"params": [parameter([1.0])], "lr": -1.0}], eta=2.0)


def test_d3_delta_energy():
    def energy(**options):
        p = parameter([1.0])
        optimizer = ECDSep([p], eta=1.0, **options)
        descend(optimizer, [p], 1, offset=0.0)
        return math.exp(optimizer.report()["log_energy"])

    assert energy(s=1) == pytest.approx(1.0)
    assert energy(s=0) == pytest.approx(1.0)
    assert energy(s=0, delta_energy=3.0) == pytest.approx(3.0)
    assert energy(s=1, delta_energy=3.0) == pytest.approx(4.0)
    with pytest.raises(HyperparameterError, match=r"delta_energy = 0\.0"):
        energy(s=0, delta_energy=0.0)


def test_make_needs_eta():
    with pytest.raises(HyperparameterError, match="eta is required"):
        make([parameter([1.0])], seed=1)


def test_w20_gradient_scaler_takes_the_unscaled_loss():
    ends = []
    for scaled in (True, False):
        p = parameter([1.0, 2.0], torch.float32)
        optimizer = ECDSep([p], lr=0.1, eta=2.0, nu=0.1, seed=1)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaled)
        for _ in range(4):
            optimizer.zero_grad()
            loss = p.square().sum() + 0.1
            scaler.scale(loss).backward()
            scaler.step(optimizer, loss=loss)
            scaler.update()
        ends.append(p.detach())
    assert torch.equal(*ends)


def test_s1_step_is_never_longer_than_lr():
    """Hard invariant of theory §1.1: |ΔΘ| <= Δt for s = 1, whatever Δt and the loss."""
    for lr in (1e-3, 1.0, 100.0):
        for integrator in ("algorithm1", "sync"):
            p = parameter([3.0, -2.0, 1.0])
            optimizer = ECDSep([p], lr=lr, eta=3.0, nu=0.3, seed=1, integrator=integrator)
            for _ in range(50):
                before = p.detach().clone()
                descend(optimizer, [p], 1)
                assert (p.detach() - before).norm().item() <= lr * (1 + 1e-12)
