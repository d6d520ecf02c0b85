"""Steps, evaluation and running statistics of a network on images."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.tasks import StatefulProblem
from ecd_tune.tasks.images import _parts
from ecd_tune.tasks.images.tasks import make_cifar10, make_imagenet1k, make_tiny_imagenet
from ecd_tune.testing.task import evaluate_step  # a step's loss and gradients, copied

SMALL = {"depth": 10, "widen": 1, "batch_size": 32, "device": "cpu"}
FOLDERS = {"width": 4, "image_size": 64, "val_per_class": 2, "batch_size": 5, "weights": ""}


def build(stage=Stage.SEARCH, seed=0, **options):
    return make_cifar10(**{**SMALL, **options}).build(seed, stage)


def test_normalisation_is_that_of_the_paper():
    # Class 0 is drawn in 0 … 55 in all channels; one pixel of value v becomes (v/255 − m)/s.
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).expand(1, 4, 4, 3)
    for problem, means, stds in (
        (build(), (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        (build(model="resnet20"), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (
            make_tiny_imagenet(width=4).build(0, Stage.SEARCH),
            (0.480, 0.448, 0.397),
            (0.276, 0.269, 0.282),
        ),
        (
            make_imagenet1k(**FOLDERS).build(0, Stage.SEARCH),
            (0.485, 0.456, 0.406),
            (0.229, 0.224, 0.225),
        ),
    ):
        x = problem._prepare(pixels)
        assert x.shape == (1, 3, 4, 4)
        expected = [(v - m) / s for v, m, s in zip((0.0, 1.0, 0.2), means, stds, strict=True)]
        np.testing.assert_allclose(x[0, :, 2, 3], expected, rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: build(), lambda: imagenet()])
def test_an_epoch_sees_every_training_image_once_in_an_order_of_its_own(make):
    problem = make()
    length, count = problem.steps_per_epoch, len(problem._train.labels)
    orders = [
        torch.cat([problem._rows(e * length + b) for b in range(length)]).tolist() for e in (0, 1)
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(count))
    assert orders[0] != orders[1]


def imagenet(stage=Stage.SEARCH, seed=0, **options):
    return make_imagenet1k(**{**FOLDERS, **options}).build(seed, stage)


@pytest.mark.parametrize("make", [build, imagenet])
def test_restored_run_is_bit_equal(make):
    whole, broken = make(), make()
    for problem in (whole, broken):
        descend(problem, range(3))
    buffer = io.BytesIO()
    torch.save((broken.state_dict(), [p.detach() for p in broken.parameters]), buffer)
    buffer.seek(0)
    state, parameters = torch.load(buffer, weights_only=True)
    resumed = make()
    assert isinstance(resumed, StatefulProblem)
    resumed.load_state_dict(state)
    with torch.no_grad():
        for own, saved in zip(resumed.parameters, parameters, strict=True):
            own.copy_(saved)
    steps = range(3, 2 + whole.steps_per_epoch)
    assert torch.equal(descend(whole, steps), descend(resumed, steps))
    assert whole.evaluate("val") == resumed.evaluate("val")
    # Without the running statistics it would not.
    resumed.load_state_dict(make().state_dict())
    assert whole.evaluate("val") != resumed.evaluate("val")


def descend(problem, steps):
    losses = []
    for step in steps:
        losses.append(problem.closure(step))
        with torch.no_grad():
            for parameter in problem.parameters:
                parameter.sub_(parameter.grad, alpha=0.05)
    return torch.stack(losses)


@pytest.mark.parametrize("make", [build, imagenet])
def test_a_second_forward_pass_moves_the_running_statistics_and_nothing_else(make):
    once, twice, anew = make(), make(), make()
    for problem in (once, twice):
        descend(problem, [0])
    before = [p.detach().clone() for p in twice.parameters], [p.grad for p in twice.parameters]
    twice.pass_forward(0)
    assert all(torch.equal(a, b) for a, b in zip(before[0], twice.parameters, strict=True))
    assert all(a is p.grad for a, p in zip(before[1], twice.parameters, strict=True))
    # By hand: the batch of step 0 through the network after the step, in training mode.
    once.network.train()
    with torch.no_grad():
        once.network(once.batch(0)[0])
    assert all(torch.equal(v, twice.state_dict()[k]) for k, v in once.state_dict().items())
    assert int(twice.state_dict()[counter(twice)]) == 2
    # A run that continues after an interruption has no batch at hand: it is made anew.
    descend(anew, [0])
    anew._last = None
    anew.pass_forward(0)
    assert all(torch.equal(v, twice.state_dict()[k]) for k, v in anew.state_dict().items())


def counter(problem):
    return next(name for name in problem.state_dict() if name.endswith("num_batches_tracked"))


def test_statistics_of_another_network_are_refused():
    with pytest.raises(ValueError, match="the saved ones"):
        build().load_state_dict(build(widen=2).state_dict())


@pytest.mark.parametrize("make", [build, imagenet])
def test_augmentation_changes_with_the_epoch_and_can_be_switched_off(make):
    for augment in (True, False):
        problem = make(augment=augment)
        steps = (0, 1, problem.steps_per_epoch)
        first, again, later = (
            problem._train.begin(torch.arange(4), problem._augmentation(step))() for step in steps
        )
        assert first.dtype == torch.uint8
        assert torch.equal(first, again)
        assert torch.equal(first, later) != augment


def test_steps_can_be_requested_in_any_order_with_prefetching():
    problem, other = imagenet(), imagenet()
    length = problem.steps_per_epoch
    forward = [evaluate_step(problem, step)[0] for step in range(length + 2)]
    backward = [evaluate_step(other, step)[0] for step in reversed(range(length + 2))]
    assert forward == backward[::-1]


def test_evaluation_is_that_of_the_network_in_evaluation_mode():
    problem = build(stage=Stage.CONFIRM)
    descend(problem, range(3))
    metrics = problem.evaluate("test")
    part = problem._parts["test"]
    network = problem.network.eval()
    with torch.no_grad():
        pixels = part.begin(torch.arange(len(part.labels)), None)()
        logits = network(problem._prepare(pixels))
    assert metrics["accuracy"] == (logits.argmax(1) == part.labels).double().mean()
    expected = nn.functional.cross_entropy(logits, part.labels)
    assert metrics["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_renewed_statistics_are_the_mean_over_the_batches():
    problem = build(augment=False, batch_size=22)  # 110 images: five whole batches
    descend(problem, range(3))
    before = [p.detach().clone() for p in problem.parameters]
    problem.renew_statistics()
    # The first normalisation sees the first convolution's output, whatever the others do.
    first = problem.network.blocks[0].bn1
    with torch.no_grad():
        everything = problem._train.begin(torch.arange(110), None)()
        inner = problem.network.conv1(problem._prepare(everything))
    torch.testing.assert_close(first.running_mean, inner.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert first.momentum == 0.1
    assert problem.network.bn.momentum == 0.9
    assert all(torch.equal(a, b) for a, b in zip(before, problem.parameters, strict=True))
    renewed = problem.state_dict()
    problem.renew_statistics()
    assert all(torch.equal(renewed[k], v) for k, v in problem.state_dict().items())


def test_training_moves_the_statistics_and_evaluation_does_not():
    problem = build()
    before = problem.state_dict()
    problem.evaluate("val")
    assert all(torch.equal(before[k], v) for k, v in problem.state_dict().items())
    problem.closure(0)
    assert not torch.equal(before["bn.running_mean"], problem.state_dict()["bn.running_mean"])


def test_train_val_and_test_share_no_image():
    problem = build(stage=Stage.CONFIRM)
    seen = {}
    for split, size in (("train", 110), ("val", 10), ("test", 20)):
        part = problem._parts[split]
        assert len(part.labels) == size
        pixels = part.begin(torch.arange(size), None)()
        seen[split] = {image.numpy().tobytes() for image in pixels}
        assert len(seen[split]) == size
    assert not seen["train"] & seen["val"]
    assert not (seen["train"] | seen["val"]) & seen["test"]


def test_search_does_not_decode_test_images(monkeypatch, tmp_path):
    monkeypatch.setenv("ECD_TUNE_CACHE", str(tmp_path))
    task = make_cifar10(**SMALL)
    with pytest.raises(TaskError, match="test"):
        task.build(0, Stage.SEARCH).evaluate("test")
    assert not list(tmp_path.rglob("cifar10-test-*"))
    task.build(0, Stage.CONFIRM)
    assert list(tmp_path.rglob("cifar10-test-*"))


def test_training_learns_the_colours_of_the_classes():
    problem = build(stage=Stage.CONFIRM)
    optimizer = torch.optim.Adam(problem.parameters, lr=3e-3)
    for step in range(8 * problem.steps_per_epoch):
        optimizer.step(lambda step=step: problem.closure(step))
    problem.renew_statistics()
    assert problem.evaluate("test")["accuracy"] > 0.8


def test_images_that_lie_on_the_device_give_the_same_batches(monkeypatch):
    mapped = build()
    monkeypatch.setattr(_parts, "has_room_for", lambda size, device: size == 110 * 32 * 32 * 3)
    resident = build()
    assert resident._train._resident
    assert not resident._parts["val"]._resident
    for step in (0, mapped.steps_per_epoch - 1, mapped.steps_per_epoch):
        for own, expected in zip(resident.batch(step), mapped.batch(step), strict=True):
            assert torch.equal(own, expected)
    stacked = mapped.stack_batches([mapped, build(seed=1)], [0, 1])
    for own, seed, step in ((0, 0, 0), (1, 1, 1)):
        for found, expected in zip(stacked, build(seed=seed).batch(step), strict=True):
            assert torch.equal(found[own], expected)


def test_augmentation_of_an_image_follows_from_seed_epoch_and_image():
    problem, rows = build(), torch.tensor([3, 50, 7])
    key = problem._augmentation(0)
    together = problem._train.begin(rows, key)()
    alone = torch.cat([problem._train.begin(row[None], key)() for row in rows])
    assert torch.equal(together, alone)
    assert not torch.equal(together, problem._train.begin(rows, build(seed=1)._augmentation(0))())
