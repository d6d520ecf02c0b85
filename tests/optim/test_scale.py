"""Scales of tensors: an exact change of coordinates, and factors from sparse gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim import BatchedECDSep, ECDq1, ECDSep, ECDSepF0
from ecd_tune.optim.baselines import ScaledSGD, make_gdm, make_sgd
from ecd_tune.optim.batched.baselines import BatchedSGD
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from ecd_tune.optim.params.scale import BATCHES, factor_of, no_shares, share_of, with_share

A, B = torch.tensor([1.0, -0.5, 0.3]).double(), torch.tensor([[0.7, 0.2], [0.1, -1.0]]).double()
FACTORS = (30.0, 0.5)


def loss_of(a: Tensor, b: Tensor) -> Tensor:
    return (a.square() * torch.tensor([1.0, 2.0, 3.0])).sum() + (b - a[0]).square().sum() + 0.5


def run(
    params: list[torch.nn.Parameter], optimizer: Any, scales: tuple[float, float], steps: int = 12
) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(*(c * p for c, p in zip(scales, params, strict=True)))
        loss.backward()
        optimizer.step(lambda loss=loss: loss)


@pytest.mark.parametrize(
    "options",
    [
        {"nu": 0.0},
        {"nu": 0.1, "s": 0, "delta_energy": 2.0, "integrator": "sync"},
        {"nu": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": "auto", "nu": "auto"},
    ],
)
def test_a_scale_is_an_exact_change_of_coordinates(options: dict[str, Any]) -> None:
    """θ = c·u: the run in θ with Δt·c is the run in u with Δt."""
    options = {"lr": 0.05, "eta": 2.0, "seed": 3, **options}
    theta = [torch.nn.Parameter(A.clone()), torch.nn.Parameter(B.clone())]
    groups = [{"params": [p], "scale": c} for p, c in zip(theta, FACTORS, strict=True)]
    scaled = ECDSep(groups, **options)
    run(theta, scaled, (1.0, 1.0))
    u = [torch.nn.Parameter(p / c) for p, c in zip((A, B), FACTORS, strict=True)]
    plain = ECDSep(u, **options)
    run(u, plain, FACTORS)
    for p, q, c in zip(theta, u, FACTORS, strict=True):
        torch.testing.assert_close(p.detach(), c * q.detach(), rtol=1e-9, atol=1e-9)
    for key in ("log_energy", "log_momentum"):
        assert scaled.report()[key] == pytest.approx(plain.report()[key], rel=1e-9)


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_scale_is_an_exact_change_of_coordinates_at_unit_speed(integrator: str) -> None:
    options = {"lr": 0.3, "eta": 20.0, "nu": 0.1, "seed": 3, "integrator": integrator}
    theta = [torch.nn.Parameter(A.clone()), torch.nn.Parameter(B.clone())]
    groups = [{"params": [p], "scale": c} for p, c in zip(theta, FACTORS, strict=True)]
    run(theta, ECDq1(groups, **options), (1.0, 1.0))
    u = [torch.nn.Parameter(p / c) for p, c in zip((A, B), FACTORS, strict=True)]
    run(u, ECDq1(u, **options), FACTORS)
    for p, q, c in zip(theta, u, FACTORS, strict=True):
        torch.testing.assert_close(p.detach(), c * q.detach(), rtol=1e-9, atol=1e-9)


SGD = {"lr": 0.001, "momentum": 0.9, "weight_decay": 0.1}


@pytest.mark.parametrize("options", [{}, {"nesterov": True}])
@pytest.mark.parametrize("maximize", [False, True])
def test_sgd_uses_the_same_change_of_coordinates(options: dict[str, Any], maximize: bool) -> None:
    """In u the L² term is ½ wd |c·u|², so that its wd is c² wd."""
    theta = [torch.nn.Parameter(A.clone()), torch.nn.Parameter(B.clone())]
    groups = [{"params": [p], "scale": c} for p, c in zip(theta, FACTORS, strict=True)]
    options = {**SGD, **options}
    run(theta, ScaledSGD(groups, **options, maximize=maximize), (1.0, 1.0), 5)
    u = [torch.nn.Parameter(p / c) for p, c in zip((A, B), FACTORS, strict=True)]
    own = [c * c * options["weight_decay"] for c in FACTORS]
    in_u = [{"params": [p], "weight_decay": wd} for p, wd in zip(u, own, strict=True)]
    run(u, torch.optim.SGD(in_u, **options, maximize=maximize), FACTORS, 5)
    for p, q, c in zip(theta, u, FACTORS, strict=True):
        torch.testing.assert_close(p.detach(), c * q.detach(), rtol=1e-9, atol=1e-9)


def test_sgd_without_scale_equals_torch_sgd() -> None:
    ends = []
    for make in (ScaledSGD, torch.optim.SGD):
        params = [torch.nn.Parameter(A.clone()), torch.nn.Parameter(B.clone())]
        run(params, make(params, **SGD), (1.0, 1.0))
        ends.append(torch.cat([p.detach().flatten() for p in params]))
    assert torch.equal(*ends)


def test_sgd_does_not_change_gradients() -> None:
    p = torch.nn.Parameter(A.clone())
    optimizer = make_sgd([p], 0, **SGD, scale=3.0)
    p.square().sum().backward()
    optimizer.step()
    assert torch.equal(p.grad, 2 * A)


def test_sgd_loads_state_of_torch_sgd() -> None:
    params = [torch.nn.Parameter(A.clone()), torch.nn.Parameter(B.clone())]
    plain = torch.optim.SGD(params, **SGD)
    run(params, plain, (1.0, 1.0))
    scaled = make_sgd(params, 0, **SGD, scale=3.0)
    scaled.load_state_dict(plain.state_dict())
    assert scaled.param_groups[0]["scale"] == 1.0
    run(params, scaled, (1.0, 1.0))


def test_sgd_finds_the_factors_that_ecdsep_finds() -> None:
    (model, optimizer), (other, sgd) = embed(), embed()
    sgd = make_gdm(other.named_parameters(), 0, lr=1e-4, scale="share")
    for step in range(20):
        words = torch.randint(200, (5, 4), generator=torch.Generator().manual_seed(step))
        for network, own in ((model, optimizer), (other, sgd)):
            own.zero_grad()
            loss = network(words).square().mean() + 0.1
            loss.backward()
            own.step(lambda loss=loss: loss)
    found = sgd.report()["scales"]
    assert found == optimizer.report()["scales"]
    assert found["0.weight"] > 5


def embed(seed: int = 0, **options: Any) -> tuple[torch.nn.Module, Any]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.EmbeddingBag(200, 4), torch.nn.Linear(4, 1))
    options = {"lr": 0.05, "eta": 2.0, "nu": 0.0, "scale": "share", "seed": 1, **options}
    return model.double(), ECDSep(model.named_parameters(), **options)


def train(model: torch.nn.Module, optimizer: Any, steps: range) -> None:
    for step in steps:
        words = torch.randint(200, (5, 4), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss = (model(words) - words.double().mean(1, keepdim=True) / 100).square().mean() + 0.1
        loss.backward()
        optimizer.step(lambda loss=loss: loss)


def test_the_share_rule_is_one_over_the_mean_share_of_the_first_batches() -> None:
    model, optimizer = embed()
    shares = []
    for step in range(BATCHES + 4):
        train(model, optimizer, range(step, step + 1))
        grad = model[0].weight.grad
        shares.append(float((grad != 0).double().mean()))
        expected = 1 / torch.tensor(shares[:BATCHES]).mean().item()
        assert optimizer.report()["scales"] == {"0.weight": pytest.approx(expected)}
    assert 5 < expected < 20


def test_a_dense_gradient_changes_nothing() -> None:
    ends = []
    for scale in ("share", 1.0):
        params = [torch.nn.Parameter(A.clone()), torch.nn.Parameter(B.clone())]
        optimizer = ECDSep(params, lr=0.05, eta=2.0, nu=0.1, seed=1, scale=scale, fused=False)
        run(params, optimizer, (1.0, 1.0))
        ends.append(torch.cat([p.detach().flatten() for p in params]))
        assert optimizer.report().get("scales", {}) == {}
    assert torch.equal(*ends)


@pytest.mark.parametrize("saved", [7, 30])
@pytest.mark.parametrize("sgd", [False, True])
def test_a_saved_run_continues_with_its_scales(saved: int, sgd: bool) -> None:
    def begin(seed: int) -> tuple[torch.nn.Module, Any]:
        model, optimizer = embed(seed)
        if not sgd:
            return model, optimizer
        model = model.float()
        return model, make_sgd(model.parameters(), 0, lr=1e-3, momentum=0.9, scale="share")

    model, optimizer = begin(0)
    train(model, optimizer, range(saved))
    kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    train(model, optimizer, range(saved, 40))
    other, restored = begin(1)
    other.load_state_dict(kept[0])
    restored.load_state_dict(kept[1])
    train(other, restored, range(saved, 40))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def test_state_dict_of_a_new_optimizer_counts_no_batch() -> None:
    """As torch.distributed.checkpoint asks: zero gradients, lr = 0, no loss."""
    model, optimizer = embed()
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step(closure=None)
    assert [own["batches"] for own in optimizer.state.values()] == [0.0] * 3
    assert (optimizer.report()["steps"], optimizer.report()["scales"]) == (0, {})


def single_sgd(params: Any, seed: int, **options: Any) -> Any:
    return make_sgd(params, seed, **options)


SGDS = (BatchedSGD, single_sgd)


@pytest.mark.parametrize("kinds", [(BatchedECDSep, ECDSep), (BatchedECDq1, ECDq1), SGDS])
def test_rows_of_a_batch_have_their_own_scales(kinds: tuple[Any, Any]) -> None:
    make_batch, make = kinds
    own = {"momentum": 0.5, "weight_decay": 0.1} if make is single_sgd else {"eta": 2.0, "nu": 0.0}
    rows = [
        {"lr": lr, "scale": scale, **own} for scale in ("share", 3.0, 1.0) for lr in (0.05, 0.02)
    ]
    weights = torch.tensor([1.0, 0.0, 0.0, 2.0], dtype=torch.float64)
    theta = [torch.tensor([1.0, -0.7, 0.2, 0.5]).double().repeat(6, 1), torch.ones(6, 2).double()]
    batch = make_batch(theta, list(range(6)), rows)
    for _ in range(20):
        x, y = theta
        loss = (weights * x.square()).sum(1) + y.square().sum(1) + 0.5
        batch.step(loss, [2 * weights * x, 2 * y], torch.ones(6, dtype=torch.bool))
    for row, options in enumerate(rows):
        params = [torch.nn.Parameter(torch.tensor([1.0, -0.7, 0.2, 0.5]).double())]
        params.append(torch.nn.Parameter(torch.ones(2).double()))
        single = make(params, seed=row, **options)
        for _ in range(20):
            single.zero_grad()
            a, b = params
            value = (weights * a.square()).sum() + b.square().sum() + 0.5
            value.backward()
            single.step(lambda value=value: value)
        for block, p in zip(theta, params, strict=True):
            torch.testing.assert_close(block[row], p.detach(), rtol=1e-8, atol=1e-9)
    assert not torch.equal(theta[0][0], theta[0][4])


def test_invalid_shares() -> None:
    assert factor_of(no_shares(A)) == 1.0
    seen = with_share(no_shares(A), share_of(torch.zeros(4)))
    assert factor_of(seen) == 1.0
    assert share_of(torch.eye(4).to_sparse()) == 0.25
    assert share_of(torch.zeros(0)) == 0.0


@pytest.mark.parametrize("bad", [0.0, -1.0, "rms", float("nan")])
def test_bad_scales_are_refused(bad: Any) -> None:
    params = [torch.nn.Parameter(A.clone())]
    with pytest.raises(HyperparameterError, match="scale"):
        ECDSep(params, eta=2.0, scale=bad)
    with pytest.raises(HyperparameterError, match="scale"):
        make_sgd(params, 0, scale=bad)
    with pytest.raises(HyperparameterError, match="scale"):
        make_sgd([{"params": params, "scale": bad}], 0)


def test_algorithm_2_has_scales_too() -> None:
    params = [torch.nn.Parameter(A.clone()), torch.nn.Parameter(B.clone())]
    groups = [{"params": [params[0]], "scale": 2.0}, {"params": [params[1]]}]
    optimizer = ECDSepF0(groups, lr=0.05, eta=3, nu=0.0, F0=1.0)
    run(params, optimizer, (1.0, 1.0))
    assert optimizer.report()["updates"] > 0


def test_flattened_parameters_have_no_share() -> None:
    p = torch.nn.Parameter(A.clone())
    p._fsdp_flattened = True
    with pytest.raises(HyperparameterError, match="FullyShardedDataParallel flattens them"):
        ECDSep([p], eta=2.0, scale="share", shard_group=True)
    ECDSep([p], eta=2.0, scale=3.0, shard_group=True)
