"""Every process has the whole model and its own rows of the batch (DDP)."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ecd_tune.errors import NonFiniteLossError
from tests.integrations.distributed.harness import run_ranks
from tests.integrations.distributed.training import (
    OPTIMIZERS,
    batch,
    counts_of,
    flat,
    loss_of,
    network,
    share,
    train,
    train_whole,
)

MODULE = "tests.integrations.distributed.test_data_parallel"
STEPS = 60
DTYPES = {"float32": torch.float32, "float64": torch.float64}
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
pytestmark = pytest.mark.timeout(600)


def _ddp(dtype=torch.float64):
    model = network(dtype)
    return model, DistributedDataParallel(model)


def _run(name, dtype=torch.float64, steps=STEPS, **given):
    model, ddp = _ddp(dtype)
    optimizer = OPTIMIZERS[name](ddp.parameters(), **{"process_group": True, **given})
    train(ddp, optimizer, range(steps), spread=True)
    return flat(model.parameters()), counts_of(optimizer)


# ---------------------------------------------------------------------- what each rank does


def own_losses(folder):
    return {
        (name, dtype): _run(name, DTYPES[dtype])
        for name in OPTIMIZERS
        for dtype in DTYPES
        if dtype == "float64" or name == "ecdsep"
    }


def seed_of_the_first_rank(folder):
    torch.manual_seed(dist.get_rank())
    return _run("ecdsep", seed=None)


def averaged_losses(folder):
    model, ddp = _ddp()
    optimizer = OPTIMIZERS["ecdsep"](ddp.parameters(), process_group=True)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(ddp, *map(share, batch(step)))
        loss.backward()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        optimizer.step(loss=mean / dist.get_world_size())
    return flat(model.parameters())


def group_of_its_own(folder):
    return _run("ecdsep", steps=5, process_group=dist.new_group([0, 1]))[0]


def closures(folder):
    model, ddp = _ddp()
    optimizer = OPTIMIZERS["ecdsep"](ddp.parameters(), process_group=True)
    for step in range(5):

        def closure(step=step):
            optimizer.zero_grad()
            loss = loss_of(ddp, *map(share, batch(step)))
            loss.backward()
            return loss

        optimizer.step(closure)
    return flat(model.parameters())


def accumulated_gradients(folder):
    model, ddp = _ddp()
    optimizer = OPTIMIZERS["ecdsep"](ddp.parameters(), process_group=True)
    for step in range(STEPS):
        optimizer.zero_grad()
        x, y = map(share, batch(step))
        with ddp.no_sync():
            first = loss_of(ddp, x[:2], y[:2]) / 2
            first.backward()
            optimizer.add_loss(first)
        second = loss_of(ddp, x[2:], y[2:]) / 2
        second.backward()
        optimizer.add_loss(second)
        optimizer.step()
    return flat(model.parameters())


def told_nothing(folder):
    _, ddp = _ddp()
    optimizer = OPTIMIZERS["ecdsep"](ddp.parameters())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(ddp, optimizer, range(5), spread=True)
    return [(w.category, str(w.message), w.filename) for w in caught]


def told_that_losses_are_equal(folder):
    return _run("ecdsep", steps=5, process_group=False)[0]


def one_loss_is_not_finite(folder):
    model, ddp = _ddp()
    optimizer = OPTIMIZERS["ecdsep"](ddp.parameters(), process_group=True)
    train(ddp, optimizer, range(3), spread=True)
    before = flat(model.parameters())
    loss = loss_of(ddp, *map(share, batch(3)))
    loss.backward()
    try:
        optimizer.step(loss=loss * (float("nan") if dist.get_rank() else 1.0))
    except NonFiniteLossError as error:
        return str(error), torch.equal(before, flat(model.parameters()))


CASES = [
    own_losses,
    seed_of_the_first_rank,
    averaged_losses,
    group_of_its_own,
    closures,
    accumulated_gradients,
    told_nothing,
    told_that_losses_are_equal,
    one_loss_is_not_finite,
]


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(MODULE, [case.__name__ for case in CASES])


# ------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float64") for name in OPTIMIZERS), ("ecdsep", "float32")]
)
def test_ranks_stay_identical_and_match_the_full_batch(ranks, name, dtype):
    (first, report), (second, other) = (r[name, dtype] for r in ranks.of("own_losses"))
    assert torch.equal(first, second)
    assert report == other
    assert report["updates"] > STEPS / 3
    whole = train_whole(name, STEPS, DTYPES[dtype])
    torch.testing.assert_close(first, whole, rtol=0, atol=TOLERANCE[dtype])


def test_without_a_seed_all_ranks_use_the_first_ranks_seed(ranks):
    (first, report), (second, _) = ranks.of("seed_of_the_first_rank")
    assert torch.equal(first, second)
    assert report["updates"] == STEPS
    torch.manual_seed(0)
    whole = train_whole("ecdsep", STEPS, seed=None)
    torch.testing.assert_close(first, whole, rtol=0, atol=1e-12)


def test_loss_averaged_beforehand_gives_the_same_run(ranks):
    own = ranks.of("own_losses")
    for rank, params in enumerate(ranks.of("averaged_losses")):
        assert torch.equal(params, own[rank]["ecdsep", "float64"][0])


@pytest.mark.parametrize("case", ["group_of_its_own", "closures"])
def test_group_and_closure_match_the_full_batch(ranks, case):
    first, second = ranks.of(case)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, train_whole("ecdsep", 5), rtol=0, atol=1e-13)


def test_accumulation_without_synchronization_adds_losses_as_it_adds_gradients(ranks):
    first, second = ranks.of("accumulated_gradients")
    assert torch.equal(first, second)
    torch.testing.assert_close(first, train_whole("ecdsep", STEPS), rtol=0, atol=1e-12)


def test_without_process_group_each_process_warns_once(ranks):
    for caught in ranks.of("told_nothing"):
        assert len(caught) == 1
        category, message, _ = caught[0]
        assert issubclass(category, UserWarning)
        assert "process_group=True" in message
        assert "process_group=False" in message


def test_warning_points_at_the_call_of_step(ranks):
    for caught in ranks.of("told_nothing"):
        assert caught[0][2].endswith("training.py")


def test_false_disables_warning_and_averaging(ranks):
    # The harness turns warnings into errors.
    first, second = ranks.of("told_that_losses_are_equal")
    assert not torch.equal(first, second)


def test_loss_that_is_not_finite_on_one_rank_raises_on_all(ranks):
    for message, unchanged in ranks.of("one_loss_is_not_finite"):
        assert "finite" in message
        assert unchanged
