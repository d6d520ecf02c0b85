"""The digits: a stable stratified split, and the model."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from ecd_tune.records import Stage
from ecd_tune.tasks.digits import make, split_digits


def test_split_is_60_20_20_and_covers_every_image_once():
    parts = split_digits(0)
    assert [len(parts[name].y) for name in ("train", "val", "test")] == [1078, 359, 360]
    rows = torch.cat([part.x for part in parts.values()]).mul(16).int().tolist()
    assert sorted(rows) == sorted(load_digits().data.astype(int).tolist())


def test_split_is_stratified():
    share = torch.bincount(torch.from_numpy(load_digits().target)) / 1797
    for part in split_digits(0).values():
        counts = torch.bincount(part.y, minlength=10)
        assert (counts - share * len(part.y)).abs().max() < 1.5


def test_split_depends_on_its_seed_alone():
    torch.manual_seed(1)
    split_digits.cache_clear()
    first = split_digits(0)
    torch.manual_seed(2)
    split_digits.cache_clear()
    assert torch.equal(first["test"].x, split_digits(0)["test"].x)
    assert not torch.equal(first["test"].x, split_digits(1)["test"].x)


def test_pixels_lie_between_0_and_1():
    x = split_digits(0)["train"].x
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 64 * 32 + 32 + 32 * 10 + 10),
        ({"hidden": 8}, 64 * 8 + 8 + 8 * 10 + 10),
        ({"model": "logistic"}, 64 * 10 + 10),
    ],
)
def test_number_of_parameters(options, count):
    problem = make(**options).build(0, Stage.SEARCH)
    assert sum(p.numel() for p in problem.parameters) == count


def test_loss_and_gradient_are_those_of_the_same_network_from_torch():
    problem = make(batch_size=2000).build(0, Stage.SEARCH)
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    with torch.no_grad():
        for theirs, ours in zip(network.parameters(), problem.parameters, strict=True):
            theirs.copy_(ours)
    train = split_digits(0)["train"]
    loss = nn.functional.cross_entropy(network(train.x), train.y)
    loss.backward()
    torch.testing.assert_close(problem.closure(0), loss.detach())
    for theirs, ours in zip(network.parameters(), problem.parameters, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_an_epoch_sees_every_example_once_in_an_order_of_its_own():
    problem = make(batch_size=100).build(0, Stage.SEARCH)
    assert problem.steps_per_epoch == 11
    epochs = [
        torch.cat([problem._rows(step) for step in range(11 * e, 11 * e + 11)]) for e in (0, 1)
    ]
    for order in epochs:
        assert order.sort().values.equal(torch.arange(1078))
    assert not epochs[0].equal(epochs[1])


def test_adam_learns_it():
    problem = make().build(0, Stage.CONFIRM)
    optimizer = torch.optim.Adam(problem.parameters, lr=1e-2)
    for step in range(10 * problem.steps_per_epoch):
        optimizer.step(lambda step=step: problem.closure(step))
    assert problem.evaluate("val")["accuracy"] > 0.93
    assert problem.evaluate("test")["accuracy"] > 0.93
