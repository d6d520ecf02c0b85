"""Our optimizers with torch's interfaces: arguments, groups, hooks, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim import BBI, OPTIMIZER_DEFS, ECDq1, ECDSep, ECDSepF0

KINDS: list[tuple[Any, dict[str, Any]]] = [
    (ECDSep, {"eta": 2.0, "nu": 0.1}),
    (ECDSepF0, {"eta": 3, "nu": 0.1, "F0": -1.0}),
    (BBI, {"lr": 0.02, "delta_energy": 0.1, "T0": 7, "T1": 11}),
    (ECDq1, {"eta": 4.0, "nu": 0.5}),
]
each_kind = pytest.mark.parametrize(("kind", "options"), KINDS)


def start() -> list[torch.nn.Parameter]:
    values = ([1.0, -0.5, 0.3], [[0.7, 0.2]], 0.4)
    return [torch.nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in values]


def bowl(params: list[torch.nn.Parameter]) -> Tensor:
    return sum((p.square().sum() * (i + 1) for i, p in enumerate(params)), torch.tensor(0.5))


def go(params: list[torch.nn.Parameter], optimizer: Any, steps: int = 9) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = bowl(params)
        loss.backward()
        optimizer.step(loss=loss)
        losses.append(loss.item())
    return losses


def flat(params: list[torch.nn.Parameter]) -> Tensor:
    return torch.cat([p.detach().flatten() for p in params])


def path(kind: Any, steps: int = 9, **options: Any) -> Tensor:
    params = start()
    go(params, kind(params, seed=1, **options), steps)
    return flat(params)


# --- hyperparameters


@pytest.mark.parametrize("write", [torch.tensor, np.float32, np.float64, lambda v: np.array([v])])
@each_kind
def test_numpy_and_torch_scalars_are_accepted(kind: Any, options: dict[str, Any], write: Any):
    declared = OPTIMIZER_DEFS[kind.name].hyperparameters
    more = {"delta_energy": 0.5, "eps1": 0.25, "weight_decay": 0.25}
    options = {"lr": 0.125, **options, **{k: v for k, v in more.items() if k in declared}}
    written = {k: write(v) if isinstance(v, float) else v for k, v in options.items()}
    plain = {k: v.item() if hasattr(v, "item") else v for k, v in written.items()}
    assert torch.equal(path(kind, **written), path(kind, **plain))


def test_invalid_numbers_are_refused_in_every_type():
    for bad in (torch.tensor(-1.0), np.float32(-1.0), torch.tensor([1.0, 2.0])):
        with pytest.raises(HyperparameterError, match="lr"):
            ECDSep(start(), lr=bad, eta=2.0)


def test_scheduler_can_update_a_tensor_lr():
    params = start()
    optimizer = ECDSep(params, lr=torch.tensor(0.2), eta=2.0, nu=0.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    go(params, optimizer, 1)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == torch.tensor(0.1)
    before = flat(params)
    go(params, optimizer, 1)
    assert 0 < (flat(params) - before).norm() <= 0.1 + 1e-12


@each_kind
def test_zero_lr_of_a_scheduler_moves_nothing(kind: Any, options: dict[str, Any]):
    params = start()
    optimizer = kind(params, seed=1, **options)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: min(epoch, 1))
    before = flat(params)
    go(params, optimizer, 1)
    assert torch.equal(flat(params), before)
    warmup.step()
    go(params, optimizer, 3)
    assert not torch.equal(flat(params), before)


@pytest.mark.parametrize("cyclic", [False, True])
def test_one_cycle_and_cyclic_schedules(cyclic: bool):
    params = start()
    optimizer = ECDSep(params, lr=0.1, eta=2.0, nu=0.0)
    schedulers = torch.optim.lr_scheduler
    schedule: Any
    if cyclic:
        schedule = schedulers.CyclicLR(optimizer, 0.01, 0.2, step_size_up=3, cycle_momentum=False)
    else:
        schedule = schedulers.OneCycleLR(optimizer, 0.2, total_steps=9, cycle_momentum=False)
    seen = []
    for _ in range(8):
        before = flat(params)
        go(params, optimizer, 1)
        lr = optimizer.param_groups[0]["lr"]
        assert (flat(params) - before).norm() <= lr * (1 + 1e-12)
        seen.append(lr)
        schedule.step()
    assert max(seen) > 5 * min(seen)


@each_kind
def test_maximize_is_minimizing_the_negative(kind: Any, options: dict[str, Any]):
    """With F0 below −F: here −F >= -20 on the way."""
    offset = {"v0": -30.0} if kind is BBI else {"F0": -30.0}
    options = {**options, **offset}

    def run(maximize: bool) -> Tensor:
        params = start()
        optimizer = kind(params, seed=1, maximize=maximize, **options)
        for _ in range(6):
            optimizer.zero_grad()
            value = 3.0 - bowl(params)
            loss = value if maximize else -value
            loss.backward()
            optimizer.step(loss=loss)
        return flat(params)

    assert torch.equal(run(True), run(False))
    assert not torch.equal(run(True), flat(start()))


@each_kind
def test_unknown_keys_of_a_group_are_refused(kind: Any, options: dict[str, Any]):
    a, b, c = start()
    with pytest.raises(HyperparameterError, match=r"unknown key weigth_decay; allowed: .*lr"):
        kind([{"params": [a]}, {"params": [b], "weigth_decay": 0.1}], **options)
    optimizer = kind([{"params": [a], "name": "first", "initial_lr": 0.1}], **options)
    with pytest.raises(HyperparameterError, match="unknown key betas"):
        optimizer.add_param_group({"params": [c], "betas": (0.9, 0.99)})
    named = kind([("a", a), ("b", b)], **options)
    assert named.param_groups[0]["param_names"] == ["a", "b"]


# --- 0-d parameters


@each_kind
def test_a_0_d_parameter_is_a_parameter_of_one_element(kind: Any, options: dict[str, Any]):
    ends = []
    for shape in ((), (1,)):
        scale = torch.nn.Parameter(torch.full(shape, 2.0, dtype=torch.float32))
        other = torch.nn.Parameter(torch.tensor([0.5, 1.0]))
        optimizer = kind([scale, other], seed=1, **options)
        go([scale, other], optimizer)
        assert scale.shape == shape
        assert scale.dtype == torch.float32
        ends.append(torch.cat([scale.detach().flatten(), other.detach()]))
        alone = torch.nn.Parameter(torch.full(shape, 2.0))
        go([alone], kind([alone], seed=1, **options))
        assert bool(alone.isfinite())
    assert torch.equal(*ends)


# --- the loss


@each_kind
def test_added_losses_are_summed(kind: Any, options: dict[str, Any]):
    """Gradient accumulation by hand: four shares of the batch equal the whole batch."""
    expected = path(kind, **options)
    for way in ("step", "closure"):
        params = start()
        optimizer = kind(params, seed=1, **options)

        def accumulate(params: Any = params, optimizer: Any = optimizer) -> float:
            optimizer.zero_grad()
            for _ in range(4):
                share = bowl(params) / 4
                share.backward()
                optimizer.add_loss(share)
            return share.item()  # what a framework's closure returns: the last share

        for _ in range(9):
            if way == "closure":
                optimizer.step(accumulate)
            else:
                accumulate()
                optimizer.step()
        torch.testing.assert_close(flat(params), expected, rtol=1e-9, atol=1e-9)


def test_added_losses_are_cleared_by_zero_grad_step_and_clear_loss():
    params = start()
    optimizer = ECDSep(params, eta=2.0, nu=0.0)
    bowl(params).backward()
    optimizer.add_loss(100.0)
    optimizer.zero_grad()
    bowl(params).backward()
    optimizer.add_loss(50.0)
    optimizer.clear_loss()
    optimizer.add_loss(bowl(params))
    optimizer.step()
    assert optimizer.diagnostics()["gap"] == pytest.approx(bowl(start()).item())
    with pytest.raises(TypeError, match="add_loss"):
        optimizer.step()


@each_kind
def test_a_step_without_loss_and_gradients_is_skipped_and_counted(
    kind: Any, options: dict[str, Any]
):
    params = start()
    optimizer = kind(params, seed=1, **options)
    go(params, optimizer, 2)
    before = flat(params)
    optimizer.zero_grad()
    assert optimizer.step(lambda: None) is None
    assert (optimizer.report()["skipped"], optimizer.report()["steps"]) == (1, 2)
    assert torch.equal(flat(params), before)
    bowl(params).backward()
    with pytest.raises(TypeError, match="needs the loss"):
        optimizer.step(lambda: None)
    optimizer.step(lambda: None, loss=bowl(params))  # as Lightning's manual optimization does
    assert optimizer.report()["steps"] == 3


def test_sam_uses_the_loss_at_the_perturbed_point():
    """Sharpness-aware minimization: gradient and loss belong to the perturbed parameters."""
    params = start()
    optimizer = ECDSep(params, lr=0.1, eta=2.0, nu=0.0)
    losses = []
    for _ in range(20):
        bowl(params).backward()
        with torch.no_grad():
            climb = [0.01 * p.grad / p.grad.norm() for p in params if p.grad is not None]
            for p, d in zip(params, climb, strict=True):
                p += d
        optimizer.zero_grad()
        loss = bowl(params)
        loss.backward()
        with torch.no_grad():
            for p, d in zip(params, climb, strict=True):
                p -= d
        optimizer.step(loss=loss)
        losses.append(loss.item())
        optimizer.zero_grad()
    assert min(losses) < 0.6 * losses[0]
    assert optimizer.report()["updates"] == 20


# --- state, copies, hooks


@each_kind
def test_all_state_is_in_state_and_param_groups(kind: Any, options: dict[str, Any]):
    params = start()
    optimizer = kind(params, seed=1, **options)
    go(params, optimizer)
    saved = optimizer.state_dict()
    assert set(saved) == {"state", "param_groups"}
    assert set(saved["state"][0]) == {"direction", "log_norm", "share", "batches"}
    trajectory = saved["param_groups"][0]["trajectory"]
    assert all(isinstance(value, Tensor) for value in trajectory.values())


@each_kind
@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies_keep_all_options(kind: Any, options: dict[str, Any], how: str):
    params = start()
    more = {} if kind is BBI else {"wait": False}
    optimizer = kind(params, seed=1, foreach=False, process_group=False, **more, **options)
    go(params, optimizer, 3)
    both = (params, optimizer)
    copied, other = copy.deepcopy(both) if how == "deepcopy" else pickle.loads(pickle.dumps(both))
    for key in ("foreach", "wait", "maximize"):
        assert other.param_groups[0][key] == optimizer.param_groups[0][key]
    assert other._ranks.process_group is False
    assert other.report() == optimizer.report()
    go(params, optimizer)
    go(copied, other)
    assert torch.equal(flat(params), flat(copied))


@each_kind
def test_load_pre_hook_can_rename_parameters(kind: Any, options: dict[str, Any]):
    """What torch's documentation shows: parameters come in another order than they were saved."""
    params = start()
    optimizer = kind(params, seed=1, **options)
    go(params, optimizer, 3)
    saved = copy.deepcopy(optimizer.state_dict())
    others = [params[1], params[0], params[2]]
    other = kind(others, seed=1, **options)
    swapped = {0: 1, 1: 0, 2: 2}

    def reorder(_: Any, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "state": {swapped[i]: own for i, own in state["state"].items()}}

    other.register_load_state_dict_pre_hook(reorder)
    other.load_state_dict(saved)
    for p in params:
        assert torch.equal(other.state[p]["direction"], optimizer.state[p]["direction"])


@each_kind
def test_load_post_hook_gets_the_loaded_state(kind: Any, options: dict[str, Any]):
    params = [torch.nn.Parameter(p.detach().to(torch.bfloat16)) for p in start()]
    optimizer = kind(params, seed=1, **options)
    go(params, optimizer, 3)
    saved = optimizer.state_dict()
    other = kind(params, seed=2, **options)
    seen: list[Any] = []

    def look(loaded: Any) -> None:
        seen.append(loaded.report()["steps"])
        seen.append(loaded.state[params[0]]["direction"].dtype)

    other.register_load_state_dict_post_hook(look)
    other.load_state_dict(saved)
    assert seen == [3, torch.float32]
    assert torch.equal(other.state[params[0]]["direction"], saved["state"][0]["direction"])


@each_kind
def test_state_dict_hooks(kind: Any, options: dict[str, Any]):
    params = start()
    optimizer = kind(params, seed=1, **options)
    go(params, optimizer, 3)
    calls: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda _: calls.append("pre"))
    optimizer.register_state_dict_post_hook(lambda _, state: {**state, "mine": 1})
    assert optimizer.state_dict()["mine"] == 1
    assert calls == ["pre"]
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.report()["steps"] == 3


@each_kind
def test_foreign_state_is_refused_and_nothing_is_changed(kind: Any, options: dict[str, Any]):
    params = start()
    optimizer = kind(params, seed=1, **options)
    go(params, optimizer, 3)
    report = optimizer.report()
    for foreign in (
        torch.optim.SGD(params, lr=0.1),
        BBI(params) if kind is not BBI else ECDSep(params, eta=2.0),
    ):
        with pytest.raises(HyperparameterError, match="belongs to another optimizer"):
            optimizer.load_state_dict(foreign.state_dict())
        assert optimizer.report() == report


def test_step_hooks_run():
    params = start()
    optimizer = ECDSep(params, eta=2.0)
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))
    go(params, optimizer, 2)
    assert calls == ["pre", "post"] * 2
