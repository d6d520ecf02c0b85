"""The paper's networks for images, with its numbers of parameters to the last one.

Initial values come from torch's global generator; :func:`build_model` seeds a copy of it, so
that nothing outside changes and nothing outside is felt. Names of the ResNets' tensors are those
of their published weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ecd_tune.errors import TaskError

__all__ = ["CifarResNet", "ResNet18", "WideResNet", "build_model"]

_HEAD_MOMENTUM = 0.9  # of the wide ResNet's last normalisation: its statistics are nearly fresh


class _WideBlock(nn.Module):
    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(fan_in)
        self.conv1 = nn.Conv2d(fan_in, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        # The second convolution carries the stride in the paper's code.
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1)
        changes = stride != 1 or fan_in != width
        self.shortcut = nn.Conv2d(fan_in, width, 1, stride=stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(self.bn1(x).relu())
        inner = self.conv2(self.bn2(inner).relu())
        return inner + self.shortcut(x)  # type: ignore[no-any-return]


class WideResNet(nn.Module):
    """WRN-depth-widen as the paper's code has it: every convolution has a bias, no dropout.

    Args:
        classes: Number of classes.
        depth: 6 n + 4, n blocks in each of three stages.
        widen: Factor of the widths 16, 32, 64.

    Raises:
        TaskError: A depth that is not 6 n + 4.
    """

    def __init__(self, classes: int, depth: int = 28, widen: int = 10) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise TaskError(f"depth = {depth}: a wide ResNet has 6 n + 4, such as 10, 16 or 28")
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        blocks: list[nn.Module] = []
        fan_in = 16
        for width, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
            for number in range((depth - 4) // 6):
                blocks.append(_WideBlock(fan_in, width, stride if number == 0 else 1))
                fan_in = width
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(fan_in, momentum=_HEAD_MOMENTUM)
        self.linear = nn.Linear(fan_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[B, classes]`` of ``[B, 3, H, W]``; the paper has H = W = 32."""
        x = self.bn(self.blocks(self.conv1(x))).relu()
        return self.linear(x.mean((2, 3)))  # type: ignore[no-any-return]


class _BasicBlock(nn.Module):
    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(inner)) + self.skip(x)).relu()  # type: ignore[no-any-return]

    def skip(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class _ProjectedBlock(_BasicBlock):
    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__(fan_in, width, stride)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or fan_in != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(fan_in, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def skip(self, x: Tensor) -> Tensor:
        return self.downsample(x)  # type: ignore[no-any-return]


class _PaddedBlock(_BasicBlock):
    # Option A of He et al.: no parameters, every second pixel, zeros for the new channels.
    def skip(self, x: Tensor) -> Tensor:
        missing = self.conv1.out_channels - x.shape[1]
        if not missing:
            return x
        return pad(x[:, :, ::2, ::2], (0, 0, 0, 0, missing // 2, missing - missing // 2))


def _stage(
    block: type[_BasicBlock], fan_in: int, width: int, stride: int, length: int
) -> nn.Sequential:
    rest = (block(width, width, 1) for _ in range(length - 1))
    return nn.Sequential(block(fan_in, width, stride), *rest)


def _initialise_convolutions(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResNet18(nn.Module):
    """ResNet-18, with torchvision's names of the tensors.

    Args:
        classes: Number of classes.
        small: The paper's stem for 64x64 images: 3x3 with stride 1 and no pooling. False: the
            standard one for 224x224, 7x7 with stride 2, then pooling.
        width: Channels of the first stage, doubled in each of the next three. 64 is ResNet-18;
            fewer make a network of the same shape for a small machine.
    """

    def __init__(self, classes: int, small: bool = False, width: int = 64) -> None:
        super().__init__()
        size, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(3, width, size, stride=stride, padding=size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool: nn.Module = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(_ProjectedBlock, width, width, 1, 2)
        self.layer2 = _stage(_ProjectedBlock, width, 2 * width, 2, 2)
        self.layer3 = _stage(_ProjectedBlock, 2 * width, 4 * width, 2, 2)
        self.layer4 = _stage(_ProjectedBlock, 4 * width, 8 * width, 2, 2)
        self.fc = nn.Linear(8 * width, classes)
        _initialise_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[B, classes]`` of ``[B, 3, H, W]``."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


class CifarResNet(nn.Module):
    """ResNet-20, -32 or -56 for CIFAR, shortcuts without parameters (option A).

    Args:
        classes: Number of classes.
        depth: 6 n + 2, n blocks in each of three stages of widths 16, 32 and 64.
    """

    def __init__(self, classes: int, depth: int = 20) -> None:
        super().__init__()
        length = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(_PaddedBlock, 16, 16, 1, length)
        self.layer2 = _stage(_PaddedBlock, 16, 32, 2, length)
        self.layer3 = _stage(_PaddedBlock, 32, 64, 2, length)
        self.linear = nn.Linear(64, classes)
        _initialise_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[B, classes]`` of ``[B, 3, H, W]``."""
        x = self.bn1(self.conv1(x)).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))  # type: ignore[no-any-return]


def build_model(make: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """Make a network with initial values from one generator.

    Args:
        make: Makes it.
        generator: Decides the initial values.

    Returns:
        The network, on the CPU; torch's global generator is as it was.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
