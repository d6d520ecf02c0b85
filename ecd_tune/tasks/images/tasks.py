"""Image tasks from the options of a study file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecd_tune.errors import TaskError
from ecd_tune.records import Scalar, Stage
from ecd_tune.tasks._device import choose_device
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.data import ROOT_VARIABLE, Layout, data_root, find_layout
from ecd_tune.tasks.definitions import check_options
from ecd_tune.tasks.images import _cifar, _tiny
from ecd_tune.tasks.images._cache import Decoded, decoded
from ecd_tune.tasks.images._folders import FolderPart, class_names, list_folder
from ecd_tune.tasks.images._parts import CachedPart, ImageSplit
from ecd_tune.tasks.images._split import RowNumbers, first_of_each_class, split_validation
from ecd_tune.tasks.images._weights import load_weights, read_torchvision, read_weights
from ecd_tune.tasks.images.definitions import IMAGE_DATA, IMAGE_DEFS
from ecd_tune.tasks.images.models import CifarResNet, ResNet18, WideResNet, build_model
from ecd_tune.tasks.images.problem import ImageProblem, Recipe
from ecd_tune.tasks.seeds import stream
from ecd_tune.tasks.stacked_networks import StacksNetworks

__all__ = ["ImageTask", "make_cifar10", "make_cifar100", "make_imagenet1k", "make_tiny_imagenet"]

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]

_CIFAR: Statistics = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_TINY: Statistics = ((0.480, 0.448, 0.397), (0.276, 0.269, 0.282))
_IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class ImageTask(StacksNetworks):
    """Data, network and recipe.

    Attributes:
        network: Makes the network, with random initial values.
        weights: Pretrained weights that replace them; empty: none.
        parts: ``train`` and ``val``.
        published: Returns all training images, those that validate among them.
        test: Reads the test split; called for a confirmation only.
        recipe: How pixels reach the network.
        origin: Where the weights come from, for messages.
    """

    network: Callable[[], nn.Module]
    weights: Mapping[str, Tensor]
    parts: Mapping[Split, ImageSplit]
    published: Callable[[], ImageSplit]
    test: Callable[[], ImageSplit]
    recipe: Recipe
    origin: str

    def why_not_stacked(self) -> str | None:
        """Return why classifiers do not compute together, or None."""
        if self.parts["train"].ahead:
            return "its images are read from files for each step"
        return None

    def build(self, seed: int, stage: Stage) -> ImageProblem:
        """Build a classifier; it holds the test split only in the confirmation."""
        parts = dict(self.parts)
        if stage is Stage.CONFIRM:
            parts["test"] = self.test()
        return self._assemble(parts, seed)

    def build_published(self, seed: int) -> ImageProblem:
        """Build a classifier that trains on all training images, and holds the test split."""
        return self._assemble({"train": self.published(), "test": self.test()}, seed)

    def _assemble(self, parts: Mapping[Split, ImageSplit], seed: int) -> ImageProblem:
        network = build_model(self.network, stream(seed, "init"))
        if self.weights:
            load_weights(network, self.weights, self.origin)
        return ImageProblem(network, parts, self.recipe, seed)


def make_cifar10(**options: Scalar) -> ImageTask:
    """Make the CIFAR-10 task.

    Args:
        **options: As declared for ``cifar10`` in :mod:`ecd_tune.tasks.images.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(IMAGE_DEFS["cifar10"], options)
    if chosen["source"] == "official":
        return _make_official_cifar("cifar10", chosen, classes=10)
    path, _ = _find("cifar10", "cifar10-jpeg")
    per_class = int(chosen["subset"])

    def read(part: Any) -> Decoded:
        return decoded(
            f"cifar10-jpeg-{part}",
            path,
            {"part": part, "subset": per_class},
            lambda: _cifar.read_jpeg(path, part, per_class),
        )

    return _assemble("cifar10", chosen, partial(read, "train"), partial(read, "test"), 10)


def make_cifar100(**options: Scalar) -> ImageTask:
    """Make the CIFAR-100 task.

    Args:
        **options: As declared for ``cifar100`` in :mod:`ecd_tune.tasks.images.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(IMAGE_DEFS["cifar100"], options)
    return _make_official_cifar("cifar100", chosen, classes=100)


def make_tiny_imagenet(**options: Scalar) -> ImageTask:
    """Make the Tiny ImageNet task; its test split is the official validation set.

    Args:
        **options: As declared for ``tiny_imagenet`` in
            :mod:`ecd_tune.tasks.images.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(IMAGE_DEFS["tiny_imagenet"], options)
    official = chosen["source"] == "official"
    path, _ = _find("tiny_imagenet", "tiny-imagenet" if official else "tiny-imagenet-subset")
    per_class, size = int(chosen["subset"]), int(chosen["image_size"])

    def read(part: Any) -> Decoded:
        return decoded(
            f"tiny-imagenet-{part}",
            path,
            {"part": part, "subset": per_class, "size": size},
            lambda: _tiny.read_tiny(path, part, per_class, size),
        )

    return _assemble("tiny_imagenet", chosen, partial(read, "train"), partial(read, "val"), 200)


def make_imagenet1k(**options: Scalar) -> ImageTask:
    """Make the ImageNet-1K task; its test split is the official validation set.

    Args:
        **options: As declared for ``imagenet1k`` in :mod:`ecd_tune.tasks.images.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(IMAGE_DEFS["imagenet1k"], options)
    folder = _find_folder(str(chosen["folder"]))
    files, classes = _list_part(folder / "train", int(chosen["subset"]))
    split_seed, per_class = int(chosen["split_seed"]), int(chosen["val_per_class"])
    train, val = split_validation(classes, split_seed, per_class=per_class)
    shape = (int(chosen["image_size"]), int(chosen["threads"]))

    def part(rows: RowNumbers) -> FolderPart:
        names = [files[row] for row in rows]
        return FolderPart(folder / "train", names, classes[rows].tolist(), *shape)

    def test() -> FolderPart:
        held, labels = _list_part(folder / "val", int(chosen["subset"]))
        return FolderPart(folder / "val", held, labels.tolist(), *shape)

    return ImageTask(
        partial(ResNet18, int(classes.max()) + 1, width=int(chosen["width"])),
        _weights(str(chosen["weights"])),
        {"train": part(train), "val": part(val)},
        partial(part, np.arange(len(files))),
        test,
        _recipe(chosen, _IMAGENET),
        str(chosen["weights"]),
    )


def _make_official_cifar(name: str, chosen: Mapping[str, Any], classes: int) -> ImageTask:
    path, _ = _find(name, name)

    def read(part: Any) -> Decoded:
        return decoded(
            f"{name}-{part}",
            path,
            {"part": part},
            lambda: _cifar.read_batches(path, part, classes),
        )

    return _assemble(name, chosen, partial(read, "train"), partial(read, "test"), classes)


def _list_part(folder: Path, subset: int) -> tuple[list[str], RowNumbers]:
    files, labels = list_folder(folder)
    classes = np.array(labels)
    rows = first_of_each_class(classes, subset)
    return [files[row] for row in rows], classes[rows]


def _assemble(
    name: str,
    chosen: Mapping[str, Any],
    read_train: Callable[[], Decoded],
    read_test: Callable[[], Decoded],
    classes: int,
) -> ImageTask:
    fraction, per_class = float(chosen["val_fraction"]), int(chosen["subset"])
    if not 0 < fraction < 1:
        raise TaskError(f"{name}: val_fraction = {fraction} must be above 0 and below 1")
    data = read_train()
    kept = first_of_each_class(data.labels, per_class)
    train, val = split_validation(data.labels[kept], int(chosen["split_seed"]), fraction=fraction)

    network, statistics = _network(name, chosen, classes)
    recipe = _recipe(chosen, statistics)
    part = partial(CachedPart, device=torch.device(recipe.device))

    def test() -> CachedPart:
        held = read_test()
        return part(held, first_of_each_class(held.labels, per_class))

    return ImageTask(
        network,
        _weights(str(chosen["weights"])),
        {"train": part(data, kept[train]), "val": part(data, kept[val])},
        partial(part, data, kept),
        test,
        recipe,
        str(chosen["weights"]),
    )


def _network(
    name: str, chosen: Mapping[str, Any], classes: int
) -> tuple[Callable[[], nn.Module], Statistics]:
    model = str(chosen["model"])
    if model == "wrn":
        shape = {"depth": int(chosen["depth"]), "widen": int(chosen["widen"])}
        return partial(WideResNet, classes, **shape), _CIFAR
    if model == "resnet18":
        return partial(ResNet18, classes, small=True, width=int(chosen["width"])), _TINY
    # Their published weights were trained with ImageNet's constants.
    return partial(CifarResNet, classes, int(model.removeprefix("resnet"))), _IMAGENET


def _recipe(chosen: Mapping[str, Any], statistics: Statistics) -> Recipe:
    device = str(choose_device(str(chosen["device"])))
    return Recipe(int(chosen["batch_size"]), bool(chosen["augment"]), *statistics, device)


def _weights(name: str) -> Mapping[str, Tensor]:
    if not name:
        return {}
    if name == "torchvision":
        return read_torchvision()
    root = data_root()
    places = [Path(name).expanduser()]
    if root is not None:
        places += [root / "weights" / name, root / "weights" / f"{name}.npz"]
    for place in places:
        if place.is_file():
            return read_weights(place)
    raise TaskError(
        f"weights = {name!r}: no such file; looked for {', '.join(map(str, places))}. "
        f'Set {ROOT_VARIABLE} to the data root, or set weights = "" for random initial values'
    )


def _find(task: str, data_set: str) -> tuple[Path, Layout]:
    layout, root = find_layout(task, IMAGE_DATA[data_set].layouts)
    path = root / layout.files[0]
    # A layout that names a file of a folder means the folder.
    return (path.parent if path.suffix not in {".zip", ".gz", ".xz", ".tar"} else path), layout


def _find_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    root = data_root()
    if not folder.is_absolute() and root is not None:
        folder = root / folder
    if not (folder / "train").is_dir() or not (folder / "val").is_dir():
        raise TaskError(
            f"imagenet1k: no folders train and val in {folder}; set {ROOT_VARIABLE} to the data "
            'root, or folder = "/path/of/imagenet"'
        )
    names = [set(class_names(folder / part)) for part in ("train", "val")]
    if different := sorted(names[0] ^ names[1]):
        # Classes are numbered by their order: one that is missing would shift all others.
        raise TaskError(
            f"imagenet1k: train and val in {folder} have different classes; {len(different)} are "
            f"in only one of them, the first is {different[0]}"
        )
    return folder
