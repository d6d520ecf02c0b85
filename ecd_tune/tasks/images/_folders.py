"""ImageNet in folders ``<part>/<class>/*.JPEG``: too large to keep decoded, so read as we go.

Threads decode (Pillow lets go of the interpreter's lock meanwhile) while the network computes.
Crops depend on seed, epoch and image, not on the order in which threads finish.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.errors import TaskError
from ecd_tune.tasks._device import CPU
from ecd_tune.tasks.counter import uniform
from ecd_tune.tasks.images._decode import Pixels, open_rgb
from ecd_tune.tasks.images._parts import Pending

__all__ = ["FolderPart", "centre_crop", "choose_box", "class_names", "list_folder"]

Box = tuple[int, int, int, int]

_ENDINGS = (".jpeg", ".jpg", ".png")
_AREA = (0.08, 1.0)
_LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))
_TRIES = 10
_AHEAD = 2


def list_folder(folder: Path) -> tuple[list[str], list[int]]:
    """List the images of one part; classes are numbered in the order of their folders' names.

    Args:
        folder: Holds one folder per class.

    Returns:
        Files below ``folder`` (as text: a million paths would fill memory), and their classes.

    Raises:
        TaskError: There is no image below it.
    """
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(class_names(folder)):
        with os.scandir(folder / name) as entries:
            found = sorted(e.name for e in entries if e.name.lower().endswith(_ENDINGS))
        files += [f"{name}/{file}" for file in found]
        labels += [label] * len(found)
    if not files:
        raise TaskError(
            f"{folder} contains no images in folders by class, such as n01440764/x.JPEG; "
            "ImageNet's validation images have to be sorted into such folders first"
        )
    return files, labels


def class_names(folder: Path) -> list[str]:
    """Return the names of the folders in ``folder``, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


class FolderPart:
    """Images that are read from their files each time.

    Args:
        folder: Where they lie.
        files: Their names below it.
        labels: The class of each.
        size: Side of the network's input, in pixels.
        threads: How many decode at a time; all parts of a process share them.
    """

    ahead, device = _AHEAD, CPU

    def __init__(
        self, folder: Path, files: Sequence[str], labels: Sequence[int], size: int, threads: int
    ) -> None:
        self._folder, self._files, self._size, self._threads = folder, files, size, threads
        self.labels = torch.tensor(labels, dtype=torch.int64)

    def begin(self, rows: Tensor, key: Tensor | None) -> Pending:
        """Submit a batch to the threads."""
        files = [self._folder / self._files[row] for row in rows.tolist()]
        # Per image: tries of an area and a ratio, then the place, and whether it is mirrored.
        draws: list[Pixels] | list[None] = [None] * len(files)
        if key is not None:
            draws = list(uniform(key, rows, 2 * _TRIES + 3).double().numpy())
        pool = _pool(self._threads)
        waiting = [
            pool.submit(_load, file, self._size, draw)
            for file, draw in zip(files, draws, strict=True)
        ]
        return lambda: torch.from_numpy(np.stack([pixels.result() for pixels in waiting]))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="decode")


def _load(file: Path, size: int, draw: Any) -> Pixels:
    image = open_rgb(file.read_bytes())
    if draw is None:
        return centre_crop(image, size)
    width, height = image.size
    box = choose_box(width, height, draw)
    pixels = np.asarray(image.crop(box).resize((size, size), resample=2))  # bilinear
    return np.ascontiguousarray(pixels[:, ::-1] if draw[-1] < 0.5 else pixels)


def choose_box(width: int, height: int, draw: Sequence[float]) -> Box:
    """Choose what a random resized crop shows: 8 to 100 % of the area, ratio 3/4 to 4/3.

    Args:
        width: Of the image.
        height: Of the image.
        draw: Numbers in [0, 1): ten pairs for area and ratio, of which the first that fits
            counts; then column, row, and one that is not used here.

    Returns:
        Left, top, right and bottom; when no pair fits, the largest middle part whose ratio is
        allowed.
    """
    for k in range(_TRIES):
        area = width * height * (_AREA[0] + draw[2 * k] * (_AREA[1] - _AREA[0]))
        ratio = math.exp(_LOG_RATIO[0] + draw[2 * k + 1] * (_LOG_RATIO[1] - _LOG_RATIO[0]))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(draw[2 * _TRIES] * (width - w + 1))
            top = int(draw[2 * _TRIES + 1] * (height - h + 1))
            return left, top, left + w, top + h
    w = min(width, round(height * math.exp(_LOG_RATIO[1])))
    h = min(height, round(width / math.exp(_LOG_RATIO[0])))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def centre_crop(image: Any, size: int) -> Pixels:
    """Resize the shorter side to 8/7 of ``size`` (256 for 224) and cut out the middle.

    Args:
        image: A Pillow image.
        size: Side of the result.

    Returns:
        Pixels, uint8, ``[size, size, 3]``.
    """
    width, height = image.size
    shorter = round(size * 256 / 224)
    scale = shorter / min(width, height)
    # The longer side is truncated, not rounded, as in torchvision, with which the weights were
    # evaluated.
    scaled = tuple(shorter if side == min(width, height) else int(side * scale)
                   for side in (width, height))  # fmt: skip
    left, top = (round((side - size) / 2) for side in scaled)
    resized = image.resize(scaled, resample=2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
