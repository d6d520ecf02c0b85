"""The networks: the paper's numbers of parameters, and their details."""

import pytest
import torch
from torch import nn

from ecd_tune.errors import TaskError
from ecd_tune.tasks.images.models import CifarResNet, ResNet18, WideResNet, build_model


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (lambda: WideResNet(100), 36_546_980),
        (lambda: ResNet18(200, small=True), 11_271_432),
        (lambda: ResNet18(1000), 11_689_512),
        (lambda: CifarResNet(10, 20), 269_722),
        (lambda: CifarResNet(10, 32), 464_154),
        (lambda: CifarResNet(10, 56), 853_018),
    ],
)
def test_number_of_parameters_is_the_published_one(make, parameters):
    with torch.device("meta"):
        assert count(make()) == parameters


def test_wide_resnet_has_biases_a_fresh_last_normalisation_and_late_strides():
    network = WideResNet(10, depth=16, widen=1)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(convolution.bias is not None for convolution in convolutions)
    assert network.bn.momentum == 0.9
    assert {m.momentum for m in network.blocks.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}
    strides = [(block.conv1.stride[0], block.conv2.stride[0]) for block in network.blocks]
    assert strides == [(1, 1), (1, 1), (1, 2), (1, 1), (1, 2), (1, 1)]


@pytest.mark.parametrize("depth", [9, 12, 27])
def test_wide_resnet_refuses_other_depths(depth):
    with pytest.raises(TaskError, match=str(depth)):
        WideResNet(10, depth=depth)


def test_option_a_shortcut_takes_every_second_pixel_and_pads_channels_on_both_sides():
    block = CifarResNet(10).layer2[0]
    x = torch.randn(2, 16, 8, 8)
    skipped = block.skip(x)
    assert skipped.shape == (2, 32, 4, 4)
    assert torch.equal(skipped[:, 8:24], x[:, :, ::2, ::2])
    assert not skipped[:, :8].any()
    assert not skipped[:, 24:].any()


def test_small_stem_keeps_the_image_and_the_standard_one_shrinks_it_fourfold():
    sizes = []
    for small in (True, False):
        network = ResNet18(5, small=small, width=4).eval()
        network.layer1.register_forward_hook(lambda *a: sizes.append(a[2].shape[-1]))
        assert network(torch.randn(1, 3, 64, 64)).shape == (1, 5)
    assert sizes == [64, 16]


def test_initial_values_follow_from_the_generator_and_touch_no_global_state():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    make = lambda: CifarResNet(10)  # noqa: E731
    first, second, other = (
        build_model(make, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)
