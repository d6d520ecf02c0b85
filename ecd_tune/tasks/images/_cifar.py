"""CIFAR-10 and CIFAR-100 in their official batches, binary or pickled, and CIFAR-10 as JPEG."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from ecd_tune.errors import TaskError
from ecd_tune.tasks.images._cache import Images
from ecd_tune.tasks.images._decode import Pixels, decode
from ecd_tune.tasks.images._walk import walk

__all__ = ["JPEG_CLASSES", "read_batches", "read_jpeg"]

PartName = Literal["train", "test"]

JPEG_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""The classes of CIFAR-10 in their official order."""

_SIDE = 32
_TRAIN_NAMES = {*(f"data_batch_{i}" for i in range(1, 6)), "train"}
_TEST_NAMES = {"test_batch", "test"}


def read_batches(path: Path, part: PartName, classes: int) -> Images:
    """Read the official batches.

    Args:
        path: Archive or folder; the file names identify the version.
        part: Which of them.
        classes: 10 or 100.

    Yields:
        Images ``[32, 32, 3]`` and classes (the fine ones of CIFAR-100).
    """
    wanted = _TRAIN_NAMES if part == "train" else _TEST_NAMES
    for name, read in walk(path):
        file = PurePosixPath(name).name
        if file.removesuffix(".bin") in wanted:
            split = _split_binary if file.endswith(".bin") else _split_pickle
            labels, pixels = split(read(), classes, name)
            yield from zip(_to_rows(pixels), labels, strict=True)


def read_jpeg(path: Path, part: PartName, per_class: int) -> Images:
    """Read CIFAR-10 from JPEG files ``train/<class>/0000.jpg``.

    Args:
        path: Archive or folder.
        part: Which of them.
        per_class: At most so many images of each class; 0: all. Reading stops when there are
            enough.

    Yields:
        Images ``[32, 32, 3]`` and classes.
    """
    counts = dict.fromkeys(JPEG_CLASSES, 0)
    for name, read in walk(path):
        folder, _, rest = name.removeprefix("./").partition("/")
        label = rest.partition("/")[0]
        if folder != part or label not in counts or (per_class and counts[label] >= per_class):
            continue
        counts[label] += 1
        yield decode(read(), _SIDE), JPEG_CLASSES.index(label)
        if per_class and min(counts.values()) >= per_class:
            return


def _split_binary(data: bytes, classes: int, name: str) -> tuple[list[int], Pixels]:
    # A record is the label (of CIFAR-100: the coarse one, then the fine one) and 3072 pixels.
    head = 1 if classes == 10 else 2
    records = np.frombuffer(data, dtype=np.uint8)
    if not len(records) or len(records) % (head + 3 * _SIDE**2):
        raise TaskError(
            f"{name}: {len(records)} bytes are not a multiple of the record size; download it again"
        )
    records = records.reshape(-1, head + 3 * _SIDE**2)
    return _checked(records[:, head - 1].tolist(), classes, name), records[:, head:]


def _split_pickle(data: bytes, classes: int, name: str) -> tuple[list[int], Pixels]:
    try:
        batch = _BatchUnpickler(io.BytesIO(data), encoding="bytes").load()
        labels = batch[b"labels"] if classes == 10 else batch[b"fine_labels"]
        pixels = np.ascontiguousarray(batch[b"data"], dtype=np.uint8)
        return _checked(labels, classes, name), pixels.reshape(len(labels), 3 * _SIDE**2)
    except TaskError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise TaskError(f"{name}: the batch is damaged ({error}); download it again") from error


def _checked(labels: list[int], classes: int, name: str) -> list[int]:
    if not 0 <= min(labels) <= max(labels) < classes:
        raise TaskError(f"{name}: classes {min(labels)} to {max(labels)}, not below {classes}")
    return labels


def _to_rows(pixels: Pixels) -> Iterator[Pixels]:
    # Stored by channel, then row, then column.
    yield from pixels.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)


class _BatchUnpickler(pickle.Unpickler):
    # A pickle names functions to call; these batches need numpy's arrays and nothing else.
    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module.replace("_core", "core"), name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) not in known:
            raise TaskError(
                f"a CIFAR batch asks for {module}.{name}, which is not part of the format: the "
                "file is not the official one and was not read further"
            )
        return known[module, name]
