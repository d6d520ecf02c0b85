"""Every process has different parameters as plain tensors: FSDP1, ZeroRedundancyOptimizer."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn.parallel import DistributedDataParallel

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim import BBI, ECDSep, ECDSepF0
from tests.integrations.distributed.harness import run_ranks
from tests.integrations.distributed.training import (
    OPTIMIZERS,
    batch,
    counts_of,
    flat,
    forked,
    loss_of,
    network,
    share,
    train,
    train_whole,
)

MODULE = "tests.integrations.distributed.test_shard_group"
STEPS = 20
TOLERANCE = 1e-12
pytestmark = pytest.mark.timeout(600)

# Without noise the numbers are those of the unsharded run.
CALM = {
    "ecdsep": {"nu": 0.0},
    "ecdsep_s0": {"nu": 0.0},
    "ecdsep_sync_s0": {"nu": 0.0},
    "ecdsep_f0": {"nu": 0.0},
    "bbi": {"T0": 10**6, "T1": 10**6},
}


def _fsdp(model, original, wrap=False):
    return FullyShardedDataParallel(
        model,
        device_id=torch.device("cpu"),
        use_orig_params=original,
        auto_wrap_policy=ModuleWrapPolicy({nn.Linear}) if wrap else None,
    )


def _whole(model):
    with FullyShardedDataParallel.summon_full_params(model):
        return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def _run_fsdp(model, name="ecdsep", *, fork=False, **given):
    optimizer = OPTIMIZERS[name](model.parameters(), **{"shard_group": True, **given})
    losses = train(model, optimizer, range(STEPS), spread=True, fork=fork)
    # With wrong numbers of elements the plateau that is predicted would be another.
    told = optimizer.diagnostics(F_min=-0.4) if name.startswith("ecdsep") else {}
    return _whole(model), counts_of(optimizer), told, losses


# ---------------------------------------------------------------------- what each rank does


def fsdp1(folder):
    return {
        (name, original): _run_fsdp(_fsdp(network(), original), name, **CALM[name])
        for name in CALM
        for original in (True, False)
    }


def fsdp1_several_units(folder):
    return {
        original: _run_fsdp(_fsdp(network(), original, wrap=True), nu=0.0)
        for original in (True, False)
    }


def fsdp1_original_parameters_with_noise(folder):
    return {name: _run_fsdp(_fsdp(network(), True), name) for name in OPTIMIZERS}


def fsdp1_one_rank_trains_nothing(folder):
    # The first rank's half of the flat parameter is the first layer's.
    model = nn.Sequential(nn.Linear(5, 20, dtype=torch.float64), network()[1:2], nn.Linear(20, 1))
    model.double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.linspace(-1, 1, p.numel()).view(p.shape))
    model[0].requires_grad_(False)
    whole = copy.deepcopy(model)
    sharded = _fsdp(model, True)
    result = _run_fsdp(sharded, nu=0.0)
    with_gradient = sum(p.numel() for p in sharded.parameters() if p.grad is not None)
    optimizer = OPTIMIZERS["ecdsep"](whole.parameters(), nu=0.0, process_group=False)
    train(whole, optimizer, range(STEPS))
    return *result, with_gradient, flat(whole.parameters())


def fsdp1_unused_parameters(folder):
    # Those of a flat parameter that is used otherwise have a zero gradient, not none.
    return _run_fsdp(_fsdp(forked(), True), fork=True, nu=0.0)


def fsdp1_unused_units(folder):
    return {
        original: _run_fsdp(_fsdp(forked(), original, wrap=True), fork=True, nu=0.0)
        for original in (True, False)
    }


DROPPED = {3: "4.weight", 4: "4.weight", 6: "5.bias", 8: "2.bias", 9: "0.weight"}
"""Step to the parameter whose gradient is dropped; most lie on one rank only."""


def _train_dropping(model, optimizer, spread):
    for step in range(STEPS):
        optimizer.zero_grad()
        x, y = batch(step)
        loss = loss_of(model, *((share(x), share(y)) if spread else (x, y)))
        loss.backward()
        for name, p in model.named_parameters():
            if name.removeprefix("_fsdp_wrapped_module.") == DROPPED.get(step):
                p.grad = None
        optimizer.step(loss=loss)


def fsdp1_dropped_gradients(folder):
    model = _fsdp(network(), True)
    optimizer = OPTIMIZERS["ecdsep"](model.parameters(), nu=0.0, shard_group=True)
    _train_dropping(model, optimizer, spread=True)
    return _whole(model), counts_of(optimizer)


def _odd():
    model = network()
    model[5] = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model[5].weight.fill_(0.3)
    return model


def fsdp1_padding(folder):
    model = _fsdp(_odd(), False)
    (held,) = model.parameters()
    optimizer = OPTIMIZERS["ecdsep"](model.parameters(), nu=0.3, shard_group=True)
    train(model, optimizer, range(STEPS), spread=True)
    padded = held._shard_numel_padded
    tail = held.detach()[held.numel() - padded :].clone()
    return padded, tail, optimizer.state[held]["direction"][held.numel() - padded :].clone()


def fsdp1_noise(folder):
    results = {}
    for original in (True, False):
        model = _fsdp(network(), original)
        optimizer = OPTIMIZERS["ecdsep"](model.parameters(), nu=0.5, seed=None, shard_group=True)
        train(model, optimizer, range(STEPS), spread=True)
        direction = torch.cat([own["direction"].flatten() for own in optimizer.state.values()])
        results[original] = counts_of(optimizer), optimizer.diagnostics(), direction
    return results


def fsdp1_nu_of_the_orbit(folder):
    results = {}
    for original in (True, False):
        model = _fsdp(network(), original)
        optimizer = OPTIMIZERS["ecdsep_auto"](model.parameters(), shard_group=True)
        train(model, optimizer, range(3), spread=True)
        results[original] = counts_of(optimizer)
    return results


def fsdp1_told_nothing(folder):
    told = []
    for original in (True, False):
        for make in OPTIMIZERS.values():
            try:
                make(_fsdp(network(), original).parameters())
            except HyperparameterError as error:
                told.append(str(error))
    return told


def _zero(model, make, **given):
    from torch.distributed.optim import ZeroRedundancyOptimizer

    return ZeroRedundancyOptimizer(model.parameters(), optimizer_class=make, **given)


CALM_ZERO = {
    "ecdsep": (ECDSep, {"lr": 0.05, "eta": 2.0, "nu": 0.0, "F0": -0.5, "seed": 7}),
    "ecdsep_s0": (
        ECDSep,
        {"lr": 0.05, "eta": 1.5, "nu": 0.0, "F0": -0.5, "s": 0, "weight_decay": 0.01, "seed": 7},
    ),
    "ecdsep_f0": (ECDSepF0, {"lr": 0.05, "eta": 3, "nu": 0.0, "F0": 1.0, "seed": 7}),
    "bbi": (BBI, {"lr": 0.02, "v0": -0.5, "T0": 10**6, "T1": 10**6, "seed": 7}),
}


def _train_zero(model, zero, steps, spread=True):
    for step in steps:
        zero.zero_grad()
        x, y = batch(step)
        loss = loss_of(model, share(x), share(y)) if spread else loss_of(model, x, y)
        loss.backward()
        zero.step(loss=loss)


def zero(folder):
    results = {}
    for name, (make, given) in CALM_ZERO.items():
        for buckets in (False, True):
            model = network()
            ddp = DistributedDataParallel(model)
            optimizer = _zero(
                ddp, make, shard_group=True, parameters_as_bucket_view=buckets, **given
            )
            _train_zero(ddp, optimizer, range(STEPS))
            results[name, buckets] = flat(model.parameters()), counts_of(optimizer.optim)
    return results


def _one_parameter():
    layer = nn.Linear(5, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(-1, 1, 5))
    return layer


def zero_where_a_rank_has_none(folder):
    results = {}
    for nu, decay in ((0.0, 0.0), (0.1, 0.0), (0.0, 0.05)):
        model = _one_parameter()
        ddp = DistributedDataParallel(model)
        make, given = CALM_ZERO["ecdsep"]
        optimizer = _zero(ddp, make, shard_group=True, **{**given, "nu": nu, "weight_decay": decay})
        _train_zero(ddp, optimizer, range(STEPS))
        held = sum(len(group["params"]) for group in optimizer.optim.param_groups)
        results[nu, decay] = flat(model.parameters()), counts_of(optimizer.optim), held
    return results


def zero_parameters_come_and_go(folder):
    make, given = CALM_ZERO["ecdsep"]
    model = forked()
    ddp = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = _zero(ddp, make, shard_group=True, **given)
    for step in range(STEPS):
        optimizer.zero_grad()
        x, y = batch(step)
        loss = loss_of(ddp, share(x), share(y), step)
        loss.backward()
        optimizer.step(loss=loss)
    return flat(model.parameters()), counts_of(optimizer.optim)


def zero_steps_with_closure_and_added_loss(folder):
    results = []
    make, given = CALM_ZERO["ecdsep"]
    for closure in (True, False):
        model = network()
        ddp = DistributedDataParallel(model)
        optimizer = _zero(ddp, make, shard_group=True, **given)
        for step in range(5):

            def evaluate(ddp=ddp, optimizer=optimizer, step=step):
                optimizer.zero_grad()
                loss = loss_of(ddp, *map(share, batch(step)))
                loss.backward()
                return loss

            if closure:
                optimizer.step(evaluate)
            else:
                optimizer.optim.add_loss(evaluate())
                optimizer.step()
        results.append(flat(model.parameters()))
    return results


def zero_scheduler(folder):
    make, given = CALM_ZERO["ecdsep"]
    model = network()
    ddp = DistributedDataParallel(model)
    zero = _zero(ddp, make, shard_group=True, **given)
    schedule = torch.optim.lr_scheduler.StepLR(zero, step_size=1, gamma=0.8)
    for step in range(5):
        _train_zero(ddp, zero, [step])
        schedule.step()
    plain = network()
    optimizer = make(plain.parameters(), process_group=False, **given)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.8)
    for step in range(5):
        train(plain, optimizer, [step])
        schedule.step()
    return flat(model.parameters()), flat(plain.parameters())


def zero_resumes(folder):
    results = {}
    for name, (make, given) in CALM_ZERO.items():
        given = {**given, **({"T0": 5, "n_bounces": 3} if name == "bbi" else {"nu": 0.1})}

        def started(given=given, make=make):
            model = network()
            ddp = DistributedDataParallel(model)
            return model, ddp, _zero(ddp, make, shard_group=True, **given)

        model, ddp, optimizer = started()
        _train_zero(ddp, optimizer, range(6))
        optimizer.consolidate_state_dict(to=0)
        saved = io.BytesIO()
        if dist.get_rank() == 0:
            torch.save({"model": model.state_dict(), "zero": optimizer.state_dict()}, saved)
        texts = [saved.getvalue()]
        dist.broadcast_object_list(texts, src=0)
        _train_zero(ddp, optimizer, range(6, 14))

        resumed, resumed_ddp, other = started(given={**given, "seed": 99, "lr": 0.001})
        loaded = torch.load(io.BytesIO(texts[0]), weights_only=True)
        resumed.load_state_dict(loaded["model"])
        kept = copy.deepcopy(loaded["zero"])
        other.load_state_dict(loaded["zero"])
        _train_zero(resumed_ddp, other, range(6, 14))
        results[name] = (
            flat(model.parameters()),
            flat(resumed.parameters()),
            counts_of(optimizer.optim),
            counts_of(other.optim),
            _same_scalars(kept, loaded["zero"]),
        )
    return results


def _same_scalars(before, after):
    """Return whether a loaded dictionary still has the scalars that it had."""
    pairs = zip(before["param_groups"], after["param_groups"], strict=True)
    return all(
        torch.equal(a["trajectory"][key], b["trajectory"][key])
        for a, b in pairs
        for key in a["trajectory"]
    )


def zero_told_nothing(folder):
    told = []
    for make, given in CALM_ZERO.values():
        try:
            _zero(network(), make, **given)
        except HyperparameterError as error:
            told.append(str(error))
    return told


CASES = [
    fsdp1,
    fsdp1_several_units,
    fsdp1_original_parameters_with_noise,
    fsdp1_one_rank_trains_nothing,
    fsdp1_unused_parameters,
    fsdp1_unused_units,
    fsdp1_dropped_gradients,
    fsdp1_padding,
    fsdp1_noise,
    fsdp1_nu_of_the_orbit,
    fsdp1_told_nothing,
    zero,
    zero_where_a_rank_has_none,
    zero_parameters_come_and_go,
    zero_steps_with_closure_and_added_loss,
    zero_scheduler,
    zero_resumes,
    zero_told_nothing,
]


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(MODULE, [case.__name__ for case in CASES])


def _check(results, whole):
    (first, report, *_), (second, other, *_) = results
    assert torch.equal(first, second)
    assert report == other
    assert report["updates"] > STEPS / 3
    torch.testing.assert_close(first, whole, rtol=0, atol=TOLERANCE)


# ------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("name", CALM)
def test_fsdp1_without_noise_follows_the_unsharded_run(ranks, name, original):
    results = [r[name, original] for r in ranks.of("fsdp1")]
    _check(results, train_whole(name, STEPS, **CALM[name]))


@pytest.mark.parametrize("original", [True, False])
def test_fsdp1_diagnostics_are_those_of_the_unsharded_run(ranks, original):
    model = network()
    optimizer = OPTIMIZERS["ecdsep"](model.parameters(), nu=0.0)
    train(model, optimizer, range(STEPS))
    expected = optimizer.diagnostics(F_min=-0.4)
    assert expected["predicted_gap"] > 0
    for result in ranks.of("fsdp1"):
        told = result["ecdsep", original][2]
        assert told == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("original", [True, False])
def test_fsdp1_of_several_units_follows_the_unsharded_run(ranks, original):
    results = [r[original] for r in ranks.of("fsdp1_several_units")]
    _check(results, train_whole("ecdsep", STEPS, nu=0.0))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fsdp1_draws_the_noise_of_the_unsharded_run_for_original_parameters(ranks, name):
    results = [r[name] for r in ranks.of("fsdp1_original_parameters_with_noise")]
    _check(results, train_whole(name, STEPS))


def test_fsdp1_rank_without_any_gradient_takes_part(ranks):
    results = ranks.of("fsdp1_one_rank_trains_nothing")
    assert results[0][-2] == 0
    _check(results, results[0][-1])


def test_fsdp1_unused_parameters_of_a_used_unit_have_zero_gradients(ranks):
    model = forked()
    optimizer = OPTIMIZERS["ecdsep"](model.parameters(), nu=0.0)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, *batch(step), step)
        loss.backward()
        for p in model.parameters():
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        optimizer.step(loss=loss)
    _check(ranks.of("fsdp1_unused_parameters"), flat(model.parameters()))


@pytest.mark.parametrize("original", [True, False])
def test_fsdp1_unused_units_follow_the_unsharded_run(ranks, original):
    results = [r[original] for r in ranks.of("fsdp1_unused_units")]
    _check(results, train_whole("ecdsep", STEPS, make=forked, nu=0.0))


def test_fsdp1_gradient_that_is_missing_on_the_one_rank_that_holds_it(ranks):
    model = network()
    optimizer = OPTIMIZERS["ecdsep"](model.parameters(), nu=0.0)
    _train_dropping(model, optimizer, spread=False)
    _check(ranks.of("fsdp1_dropped_gradients"), flat(model.parameters()))


def test_fsdp1_padding_gets_no_momentum(ranks):
    results = ranks.of("fsdp1_padding")
    assert [padded for padded, _, _ in results] == [0, 1]
    for _, tail, direction in results:
        assert not tail.any()
        assert not direction.any()


@pytest.mark.parametrize("original", [True, False])
def test_fsdp1_noise_turns_the_whole_momentum_by_the_right_angle(ranks, original):
    results = [r[original] for r in ranks.of("fsdp1_noise")]
    (report, told, first), (other, also, second) = results
    assert report == other
    assert told == pytest.approx(also, rel=0, abs=0, nan_ok=True)
    n = sum(p.numel() for p in network().parameters())
    expected = torch.tensor(1 + 0.25 * n).rsqrt().acos().item()
    assert told["bounce_angle"] == pytest.approx(expected, abs=0.05)
    # One unit vector, whose parts on the two ranks have nothing in common.
    assert (first.norm() ** 2 + second.norm() ** 2).item() == pytest.approx(1.0)
    size = min(len(first), len(second))
    a, b = first[:size], second[:size]
    assert abs((a @ b / (a.norm() * b.norm())).item()) < 0.5


@pytest.mark.parametrize("original", [True, False])
def test_fsdp1_nu_is_that_for_all_elements_of_all_ranks(ranks, original):
    model = network()
    optimizer = OPTIMIZERS["ecdsep_auto"](model.parameters())
    train(model, optimizer, range(3))
    expected = counts_of(optimizer)
    for result in ranks.of("fsdp1_nu_of_the_orbit"):
        told = result[original]
        # Other noise was drawn, but ν² n, the angle of a bounce, is hardly moved by it.
        assert told["found_nu"] == pytest.approx(expected["found_nu"], rel=0.1)


def test_fsdp1_is_refused_without_shard_group(ranks):
    for told in ranks.of("fsdp1_told_nothing"):
        assert len(told) == 2 * len(OPTIMIZERS)
        assert all("shard_group=True" in text for text in told)


@pytest.mark.parametrize("buckets", [False, True])
@pytest.mark.parametrize("name", CALM_ZERO)
def test_zero_without_noise_follows_the_unsharded_run(ranks, name, buckets):
    make, given = CALM_ZERO[name]
    plain = network()
    train(plain, make(plain.parameters(), **given), range(STEPS))
    _check([r[name, buckets] for r in ranks.of("zero")], flat(plain.parameters()))


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_zero_rank_without_parameters_takes_part(ranks, decay):
    results = [r[0.0, decay] for r in ranks.of("zero_where_a_rank_has_none")]
    assert sorted(r[-1] for r in results) == [0, 1]
    make, given = CALM_ZERO["ecdsep"]
    plain = _one_parameter()
    train(plain, make(plain.parameters(), **{**given, "weight_decay": decay}), range(STEPS))
    _check(results, flat(plain.parameters()))


def test_zero_rank_without_parameters_takes_part_with_noise(ranks):
    (first, report, _), (second, other, _) = (
        r[0.1, 0.0] for r in ranks.of("zero_where_a_rank_has_none")
    )
    assert torch.equal(first, second)
    assert report == other


def test_zero_parameters_without_gradient_at_times_follow_the_unsharded_run(ranks):
    results = ranks.of("zero_parameters_come_and_go")
    _check(results, train_whole("ecdsep", STEPS, make=forked, nu=0.0))


def test_zero_takes_a_closure_and_an_added_loss(ranks):
    for by_closure, by_adding in ranks.of("zero_steps_with_closure_and_added_loss"):
        assert torch.equal(by_closure, by_adding)
        whole = train_whole("ecdsep", 5, nu=0.0)
        torch.testing.assert_close(by_closure, whole, rtol=0, atol=TOLERANCE)


def test_zero_passes_on_the_lr_of_a_scheduler(ranks):
    for params, plain in ranks.of("zero_scheduler"):
        torch.testing.assert_close(params, plain, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", CALM_ZERO)
def test_resumed_zero_run_equals_an_uninterrupted_one(ranks, name):
    for results in ranks.of("zero_resumes"):
        params, resumed, report, other, _ = results[name]
        assert torch.equal(params, resumed)
        assert report == other


@pytest.mark.parametrize("name", CALM_ZERO)
def test_zero_does_not_change_the_loaded_dictionary(ranks, name):
    for results in ranks.of("zero_resumes"):
        assert results[name][-1]


def test_zero_is_refused_without_shard_group(ranks):
    for told in ranks.of("zero_told_nothing"):
        assert len(told) == len(CALM_ZERO)
        assert all("shard_group=True" in text for text in told)
