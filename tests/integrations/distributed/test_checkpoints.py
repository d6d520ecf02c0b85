"""torch.distributed.checkpoint: a resumed run equals an uninterrupted one."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

from tests.integrations.distributed.harness import run_ranks
from tests.integrations.distributed.training import OPTIMIZERS, flat, forked, network, train

MODULE = "tests.integrations.distributed.test_checkpoints"
pytestmark = pytest.mark.timeout(600)

SAVED, END = 6, 12
NAMES = ["ecdsep", "ecdsep_auto", "ecdsep_f0", "bbi"]
WAYS = [*((name, False) for name in NAMES), ("ecdsep", True), ("bbi", True)]
"""Optimizers, each with whether its state is flattened."""


def _sharded(model):
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    return fully_shard(model)


def _started(wrap, name, **given):
    model = wrap(forked())
    return model, OPTIMIZERS[name](model.parameters(), **given)


def _states(model, optimizer, options):
    return {
        "model": get_model_state_dict(model),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=options),
    }


def _resume(folder, wrap, name, options, *, saved=SAVED, used=0, **given):
    """Save a run under way and continue it twice: as it is, and loaded into another one.

    The other one is fresh, or has made ``used`` steps.
    """
    kept = {"spread": given.get("process_group", False), "fork": True}
    model, optimizer = _started(wrap, name, **given)
    train(model, optimizer, range(saved), **kept)
    dcp.save(_states(model, optimizer, options), checkpoint_id=folder)
    train(model, optimizer, range(saved, END), **kept)

    fresh, other = _started(wrap, name, **{**given, "seed": 1})
    for group in other.param_groups:
        group["lr"] *= 2
    train(fresh, other, range(used), **kept)
    other.zero_grad()
    with torch.no_grad():
        for p in fresh.parameters():
            p.zero_()
    states = _states(fresh, other, options)
    dcp.load(states, checkpoint_id=folder)
    set_model_state_dict(fresh, states["model"])
    set_optimizer_state_dict(fresh, other, states["optimizer"], options=options)
    train(fresh, other, range(saved, END), **kept)
    return (
        flat(model.parameters()),
        flat(fresh.parameters()),
        optimizer.report(),
        other.report(),
    )


def _plain(model):
    return model


NESTED, FLAT = StateDictOptions(), StateDictOptions(flatten_optimizer_state_dict=True)


# ---------------------------------------------------------------------- what each rank does


def plain(folder):
    return {
        (name, flattened): _resume(
            folder / f"{name}{flattened}",
            _plain,
            name,
            FLAT if flattened else NESTED,
            process_group=False,
        )
        for name, flattened in WAYS
    }


def fsdp2(folder):
    return {
        (name, flattened): _resume(
            folder / f"{name}{flattened}",
            _sharded,
            name,
            FLAT if flattened else NESTED,
            process_group=True,
        )
        for name, flattened in WAYS
    }


def ddp(folder):
    def wrap(model):
        return DistributedDataParallel(model, find_unused_parameters=True)

    return _resume(folder / "ddp", wrap, "ecdsep", NESTED, process_group=True)


def full_state(folder):
    """Sharded runs hand over through one whole dictionary, also one that rank 0 alone has."""
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    results = {}
    for broadcast in (False, True):
        model, optimizer = _started(_sharded, "ecdsep", process_group=True)
        train(model, optimizer, range(SAVED), spread=True, fork=True)
        options = whole if broadcast else StateDictOptions(full_state_dict=True)
        of_model = get_model_state_dict(model, options=options)
        of_optimizer = get_optimizer_state_dict(model, optimizer, options=options)
        train(model, optimizer, range(SAVED, END), spread=True, fork=True)

        fresh, other = _started(_sharded, "ecdsep", process_group=True, seed=1)
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=broadcast)
        set_model_state_dict(fresh, of_model, options=options)
        set_optimizer_state_dict(fresh, other, of_optimizer, options=options)
        train(fresh, other, range(SAVED, END), spread=True, fork=True)
        results[broadcast] = flat(model.parameters()), flat(fresh.parameters())
    return results


def other_sharding(folder):
    """A sharded run continues unsharded."""
    model, optimizer = _started(_sharded, "ecdsep", process_group=False)
    train(model, optimizer, range(SAVED), fork=True)
    dcp.save(_states(model, optimizer, NESTED), checkpoint_id=folder / "saved")
    train(model, optimizer, range(SAVED, END), fork=True)

    fresh, other = _started(_plain, "ecdsep", process_group=False, seed=1)
    states = _states(fresh, other, NESTED)
    dcp.load(states, checkpoint_id=folder / "saved")
    set_model_state_dict(fresh, states["model"])
    set_optimizer_state_dict(fresh, other, states["optimizer"])
    train(fresh, other, range(SAVED, END), fork=True)
    return flat(model.parameters()), flat(fresh.parameters())


def fsdp1(folder):
    results = {}
    for original in (True, False):

        def wrap(model, original=original):
            return FullyShardedDataParallel(
                model, device_id=torch.device("cpu"), use_orig_params=original
            )

        def started(seed, wrap=wrap):
            model = wrap(network())
            return model, OPTIMIZERS["ecdsep"](model.parameters(), seed=seed, shard_group=True)

        model, optimizer = started(7)
        train(model, optimizer, range(SAVED), spread=True)
        optimizer.zero_grad()
        path = folder / str(original)
        dcp.save(_states(model, optimizer, NESTED), checkpoint_id=path)
        train(model, optimizer, range(SAVED, END), spread=True)
        fresh, other = started(1)
        states = _states(fresh, other, NESTED)
        dcp.load(states, checkpoint_id=path)
        set_model_state_dict(fresh, states["model"])
        set_optimizer_state_dict(fresh, other, states["optimizer"])
        dtypes = {own["log_norm"].dtype for own in other.state.values()}
        train(fresh, other, range(SAVED, END), spread=True)
        results[original] = (
            flat(model.parameters()),
            flat(fresh.parameters()),
            optimizer.report(),
            other.report(),
            dtypes,
        )
    return results


def fresh_optimizers(folder):
    """Asking for the state of a fresh optimizer makes no step and waits for no other rank."""
    results = []
    for wrap in (_plain, _sharded):
        for name in OPTIMIZERS:
            model, optimizer = _started(wrap, name, process_group=True)
            before = flat(model.parameters())
            kinds, named = {("direction", "log_norm")}, True  # of rank 1, which does not ask
            if dist.get_rank() == 0:
                state = get_optimizer_state_dict(model, optimizer)
                kinds = {tuple(sorted(own)) for own in state["state"].values()}
                named = set(state["state"]) == {n for n, _ in model.named_parameters()}
            lr = OPTIMIZERS[name](network().parameters(), process_group=True).param_groups[0]["lr"]
            results.append(
                (
                    kinds,
                    named,
                    torch.equal(before, flat(model.parameters())),
                    optimizer.report()["steps"],
                    optimizer.param_groups[0]["lr"] == lr,
                )
            )
    return results


CASES = [plain, fsdp2, ddp, full_state, other_sharding, fsdp1, fresh_optimizers]


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(MODULE, [case.__name__ for case in CASES])


def _check(params, resumed, *reports):
    assert params.isfinite().all()
    assert torch.equal(params, resumed)
    if reports:
        assert reports[0] == reports[1]
        assert reports[0]["updates"] > END / 3


# ------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize(("name", "flattened"), WAYS)
@pytest.mark.parametrize("case", ["plain", "fsdp2"])
def test_resumed_run_equals_an_uninterrupted_one(ranks, case, name, flattened):
    for result in ranks.of(case):
        _check(*result[name, flattened])


def test_resumed_ddp_run_equals_an_uninterrupted_one(ranks):
    for result in ranks.of("ddp"):
        _check(*result)


@pytest.mark.parametrize("broadcast", [False, True])
def test_run_resumes_from_a_full_state_dict(ranks, broadcast):
    for result in ranks.of("full_state"):
        _check(*result[broadcast])


def test_sharded_run_resumes_unsharded(ranks):
    for params, resumed in ranks.of("other_sharding"):
        torch.testing.assert_close(params, resumed, rtol=0, atol=1e-12)


@pytest.mark.parametrize("original", [True, False])
def test_resumed_fsdp1_run_equals_an_uninterrupted_one(ranks, original):
    for result in ranks.of("fsdp1"):
        *runs, dtypes = result[original]
        _check(*runs)
        assert dtypes == {torch.float64}


def test_state_of_a_new_optimizer_makes_no_step(ranks):
    for result in ranks.of("fresh_optimizers"):
        for kinds, named, unchanged, steps, same_lr in result:
            # The same for all parameters, since torch asks a checkpoint for what a fresh one has.
            assert len(kinds) == 1
            assert {"direction", "log_norm"} <= set(*kinds)
            assert named
            assert unchanged
            assert steps == 0
            assert same_lr


# So torch says whenever it saves without a process group, asked to or not.
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
@pytest.mark.parametrize("flattened", [False, True])
@pytest.mark.parametrize("name", [*NAMES, "ecdsep_sync_s0"])
@pytest.mark.parametrize(
    ("saved", "used"),
    [
        pytest.param(SAVED, 0, id="fresh"),
        pytest.param(SAVED, 4, id="used"),
        pytest.param(1, 0, id="some parameters never had a gradient"),
        pytest.param(0, 0, id="before the first step"),
    ],
)
def test_resumed_single_process_run_equals_an_uninterrupted_one(
    tmp_path, name, flattened, saved, used
):
    options = FLAT if flattened else NESTED
    _check(*_resume(tmp_path, _plain, name, options, saved=saved, used=used))
