"""ECD at unit speed over several processes: n, p·∇F and the norms are global."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

from ecd_tune.optim import ECDq1
from tests.integrations.distributed.harness import run_ranks
from tests.integrations.distributed.training import (
    batch,
    counts_of,
    flat,
    forked,
    loss_of,
    network,
    share,
    train,
)

MODULE = "tests.integrations.distributed.test_unit_speed"
STEPS = 20
TOLERANCE = 1e-12
GIVEN = {"lr": 0.3, "eta": 4.0, "F0": -0.5, "weight_decay": 0.01, "seed": 7}
KINDS = [
    {"integrator": integrator, "flow": flow}
    for integrator in ("algorithm1", "sync")
    for flow in ("exact", "first_order")
]
pytestmark = pytest.mark.timeout(600)


def whole(make=network, **given):
    model = make()
    optimizer = ECDq1(model.parameters(), process_group=False, **GIVEN, **given)
    train(model, optimizer, range(STEPS), fork=make is forked)
    return flat(model.parameters()), counts_of(optimizer)


# ---------------------------------------------------------------------- what each rank does


def fsdp2(folder):
    results = []
    for kind in KINDS:
        model = network()
        fully_shard(model[2])
        fully_shard(model)
        optimizer = ECDq1(model.parameters(), process_group=True, nu=0.1, **GIVEN, **kind)
        train(model, optimizer, range(STEPS), spread=True)
        results.append((flat(model.parameters()), counts_of(optimizer)))
    return results


def fsdp1(folder):
    results = []
    for kind in KINDS:
        model = FullyShardedDataParallel(network(), device_id=torch.device("cpu"))
        optimizer = ECDq1(model.parameters(), shard_group=True, **GIVEN, **kind)
        train(model, optimizer, range(STEPS), spread=True)
        with FullyShardedDataParallel.summon_full_params(model):
            results.append((flat(model.parameters()).clone(), counts_of(optimizer)))
    return results


def zero(model, **given):
    from torch.distributed.optim import ZeroRedundancyOptimizer  # warns of torch's own code

    ddp = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = ZeroRedundancyOptimizer(
        ddp.parameters(), optimizer_class=ECDq1, shard_group=True, **GIVEN, **given
    )
    for step in range(STEPS):
        optimizer.zero_grad()
        x, y = map(share, batch(step))
        loss = loss_of(ddp, x, y, step if given.get("nu") is None else None)
        loss.backward()
        optimizer.step(loss=loss)
    return flat(model.parameters()), counts_of(optimizer.optim)


def zero_parameters_come_and_go(folder):
    return [zero(forked(), **kind) for kind in KINDS]


def zero_where_a_rank_has_none(folder):
    model = nn.Linear(5, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.linspace(-1, 1, 5))
    return zero(model, nu=0.0)[0]


# ------------------------------------------------------------------------------------- tests

FUNCTIONS = ["fsdp2", "fsdp1", "zero_parameters_come_and_go", "zero_where_a_rank_has_none"]


@pytest.fixture(scope="module")
def results():
    return run_ranks(MODULE, FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "make", "given"),
    [
        ("fsdp2", network, {"nu": 0.1}),
        ("fsdp1", network, {}),
        ("zero_parameters_come_and_go", forked, {}),
    ],
)
def test_the_run_is_that_of_one_process(results, name, make, given):
    for rank in results.of(name):
        for kind, (params, report) in zip(KINDS, rank, strict=True):
            expected, told = whole(make, **given, **kind)
            torch.testing.assert_close(params, expected, rtol=0, atol=TOLERANCE)
            assert set(report) == set(told)
            for key, value in told.items():
                close = isinstance(value, float)
                assert report[key] == (pytest.approx(value, rel=1e-9) if close else value), key
            assert report["updates"] == STEPS


def test_a_rank_without_parameters_takes_part_in_the_sums(results):
    first, second = results.of("zero_where_a_rank_has_none")
    assert torch.equal(first, second)
    assert float((first - torch.linspace(-1, 1, 5, dtype=torch.float64)).norm()) > 0.1
