"""Parameters are DTensors: FSDP2, its hybrid form, tensor parallelism, and both together."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.distributed.tensor.placement_types import _StridedShard

from tests.integrations.distributed.harness import run_ranks
from tests.integrations.distributed.training import (
    OPTIMIZERS,
    batch,
    counts_of,
    flat,
    forked,
    network,
    share,
    train,
    train_whole,
)

MODULE = "tests.integrations.distributed.test_sharded_tensors"
STEPS = 20
HYBRID = [((2, 1), "ecdsep"), ((1, 2), "ecdsep"), ((1, 2), "ecdsep_sync_s0"), ((1, 2), "bbi")]
BY_HAND = ["ecdsep", "ecdsep_sync_s0", "ecdsep_auto", "ecdsep_f0", "bbi"]
FORKED = ["ecdsep", "ecdsep_sync", "bbi"]
TOLERANCE = 1e-12
pytestmark = pytest.mark.timeout(600)


def _fully_sharded(model, mesh=None):
    # Several modules: each of the larger layers by itself, what is left with the root.
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer.weight.numel() > 30:
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(p, DTensor) for p in model.parameters())
    return model


def _run(model, name="ecdsep", *, spread=True, fork=False, **given):
    optimizer = OPTIMIZERS[name](model.parameters(), **{"process_group": spread, **given})
    losses = train(model, optimizer, range(STEPS), spread=spread, fork=fork)
    states = [optimizer.state[p] for p in model.parameters() if p in optimizer.state]
    kinds = {
        (type(own["direction"]).__name__, own["log_norm"].dtype, own["log_norm"].dim())
        for own in states
    }
    return flat(model.parameters()), counts_of(optimizer), kinds, losses


# ---------------------------------------------------------------------- what each rank does


def fsdp2(folder):
    return {name: _run(_fully_sharded(network()), name) for name in OPTIMIZERS}


def fsdp2_in_float32(folder):
    return _run(_fully_sharded(network(torch.float32)))


def fsdp2_one_loss_of_all(folder):
    return _run(_fully_sharded(network()), spread=False)


def fsdp2_without_foreach(folder):
    return _run(_fully_sharded(network()), foreach=False)


def fsdp2_parameters_come_and_go(folder):
    return {name: _run(_fully_sharded(forked()), name, fork=True) for name in FORKED}


def fsdp2_frozen_layer(folder):
    model = network()
    model[0].requires_grad_(False)
    return _run(_fully_sharded(model))


def hybrid(folder):
    def mesh(shape):
        return init_device_mesh("cpu", shape, mesh_dim_names=("replicate", "shard"))

    return {
        (shape, name): _run(_fully_sharded(network(), mesh(shape)), name) for shape, name in HYBRID
    }


def placed_by_hand(folder):
    mesh = init_device_mesh("cpu", (2,))
    placements = {
        "0.weight": Shard(1),  # of 5 columns
        "0.bias": Replicate(),
        "2.weight": _StridedShard(0, split_factor=2),  # rows 0-2, 6-8 and 3-5, 9-11
        "2.bias": Shard(0),
        "4.weight": Replicate(),
        "5.weight": Shard(1),
        # 5.bias stays a plain tensor
    }

    def run(name):
        model = network()
        optimizer_of = OPTIMIZERS[name]
        whole = dict(model.named_parameters())
        held = {
            key: nn.Parameter(distribute_tensor(p.detach(), mesh, [placements[key]]))
            if key in placements
            else p
            for key, p in whole.items()
        }
        optimizer = optimizer_of(held.values(), process_group=False)
        for step in range(STEPS):
            # The gradient is that of the whole model, each rank keeps its part.
            with torch.no_grad():
                for key, p in whole.items():
                    p.copy_(held[key].full_tensor() if key in placements else held[key])
            optimizer.zero_grad()
            model.zero_grad()
            x, y = batch(step)
            loss = (model(x) - y).square().mean()
            loss.backward()
            for key, p in whole.items():
                if key in placements:
                    held[key].grad = distribute_tensor(p.grad, mesh, [placements[key]])
            optimizer.step(loss=loss)
        return flat(held.values()), counts_of(optimizer)

    return {name: run(name) for name in BY_HAND}


class _Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(5, dtype=torch.float64)
        self.first = nn.Linear(5, 6, dtype=torch.float64)
        self.second = nn.Linear(6, 1, dtype=torch.float64)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for p in self.parameters():
                p.add_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.3)

    def forward(self, x):
        # Not a view, of which FSDP2 warns.
        return 1.0 * self.second(torch.tanh(self.first(self.norm(x))))


def tensor_parallel(folder):
    mesh = init_device_mesh("cpu", (2,))
    plan = {
        # The gradient of what is replicated here comes as a partial sum.
        "norm": SequenceParallel(sequence_dim=0),
        "first": ColwiseParallel(input_layouts=Shard(0)),
        "second": RowwiseParallel(),
    }
    model = parallelize_module(_fixed_block(), mesh, plan)
    kinds = set()
    optimizer = OPTIMIZERS["ecdsep"](model.parameters(), process_group=False)
    for step in range(STEPS):
        optimizer.zero_grad()
        x, y = batch(step)
        loss = (model(share(x)) - y).square().mean()
        loss.backward()
        kinds |= {str(p.grad.placements) for p in model.parameters()}
        optimizer.step(loss=loss)
    return flat(model.parameters()), counts_of(optimizer), kinds, _run_block_whole()


def _fixed_block():
    torch.manual_seed(3)
    return _Block()


def _run_block_whole():
    model = _fixed_block()
    optimizer = OPTIMIZERS["ecdsep"](model.parameters(), process_group=False)
    train(model, optimizer, range(STEPS))
    return flat(model.parameters())


def fsdp2_of_tensor_parallel(folder):
    results = {}
    for shape in ((2, 1), (1, 2)):
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=("data", "tensor"))
        model = _fixed_block()
        plan = {"first": ColwiseParallel(), "second": RowwiseParallel()}
        parallelize_module(model, mesh["tensor"], plan)
        fully_shard(model, mesh=mesh["data"])  # also the norm, which is on another mesh then
        optimizer = OPTIMIZERS["ecdsep"](model.parameters(), process_group=mesh.get_group("data"))
        # Only ranks that differ in "data" have other rows.
        train(model, optimizer, range(STEPS), spread=shape == (2, 1))
        kinds = {str(p.placements) for p in model.parameters()}
        results[shape] = flat(model.parameters()), kinds
    return results, _run_block_whole()


def ranks_of_one_seed(folder):
    torch.manual_seed(dist.get_rank())
    return _run(_fully_sharded(network()), seed=None)


CASES = [
    fsdp2,
    fsdp2_in_float32,
    fsdp2_one_loss_of_all,
    fsdp2_without_foreach,
    fsdp2_parameters_come_and_go,
    fsdp2_frozen_layer,
    hybrid,
    placed_by_hand,
    tensor_parallel,
    fsdp2_of_tensor_parallel,
    ranks_of_one_seed,
]


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(MODULE, [case.__name__ for case in CASES])


def _check(results, whole, tolerance=TOLERANCE):
    (first, report, *_), (second, other, *_) = results
    assert torch.equal(first, second)
    assert report == other
    assert report["updates"] > STEPS / 3
    torch.testing.assert_close(first, whole, rtol=0, atol=tolerance)


# ------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fsdp2_follows_the_unsharded_run(ranks, name):
    _check([r[name] for r in ranks.of("fsdp2")], train_whole(name, STEPS))


def test_fsdp2_in_float32_follows_the_unsharded_run(ranks):
    whole = train_whole("ecdsep", STEPS, torch.float32)
    _check(ranks.of("fsdp2_in_float32"), whole, 2e-6)


def test_state_is_sharded_as_the_parameters_and_scalars_are_float64(ranks):
    for result in ranks.of("fsdp2"):
        for _, _, kinds, _ in result.values():
            assert kinds == {("DTensor", torch.float64, 0)}
    for _, _, kinds, _ in ranks.of("fsdp2_in_float32"):
        assert kinds == {("DTensor", torch.float64, 0)}


@pytest.mark.parametrize("case", ["fsdp2_one_loss_of_all", "fsdp2_without_foreach"])
def test_variants_of_fsdp2_follow_the_unsharded_run(ranks, case):
    _check(ranks.of(case), train_whole("ecdsep", STEPS))


@pytest.mark.parametrize("name", FORKED)
def test_parameters_without_gradient_at_times_follow_the_unsharded_run(ranks, name):
    results = [r[name] for r in ranks.of("fsdp2_parameters_come_and_go")]
    _check(results, train_whole(name, STEPS, make=forked))


def test_frozen_layer_follows_the_unsharded_run(ranks):
    def frozen(dtype):
        model = network(dtype)
        model[0].requires_grad_(False)
        return model

    _check(ranks.of("fsdp2_frozen_layer"), train_whole("ecdsep", STEPS, make=frozen))


@pytest.mark.parametrize(("shape", "name"), HYBRID)
def test_hybrid_mesh_follows_the_unsharded_run(ranks, shape, name):
    _check([r[shape, name] for r in ranks.of("hybrid")], train_whole(name, STEPS))


@pytest.mark.parametrize("name", BY_HAND)
def test_any_placement_follows_the_unsharded_run(ranks, name):
    _check([r[name] for r in ranks.of("placed_by_hand")], train_whole(name, STEPS))


def test_tensor_parallel_model_follows_the_plain_run(ranks):
    results = ranks.of("tensor_parallel")
    _, _, kinds, whole = results[0]
    assert any("Partial" in kind for kind in kinds)
    _check(results, whole)


@pytest.mark.parametrize("shape", [(2, 1), (1, 2)])
def test_fsdp2_of_a_tensor_parallel_model_follows_the_plain_run(ranks, shape):
    (results, whole), (others, _) = ranks.of("fsdp2_of_tensor_parallel")
    params, kinds = results[shape]
    assert any("_StridedShard" in kind for kind in kinds) == (shape == (1, 2))
    assert torch.equal(params, others[shape][0])
    torch.testing.assert_close(params, whole, rtol=0, atol=TOLERANCE)


def test_without_a_seed_all_ranks_use_the_first_ranks_seed(ranks):
    torch.manual_seed(0)
    _check(ranks.of("ranks_of_one_seed"), train_whole("ecdsep", STEPS, seed=None))
