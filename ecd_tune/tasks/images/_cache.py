"""Decode once, for all workers of a machine: arrays that are mapped, not loaded.

A cache entry is a folder with ``images.npy`` (uint8, ``[N, H, W, 3]``) and ``labels.npy`` (int64).
Its name follows from all that decides its content, so an entry is never changed: it is created
under a lock, in a temporary folder, and renamed when it is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from ecd_tune.errors import TaskError
from ecd_tune.records import Scalar
from ecd_tune.tasks.data import cache_root
from ecd_tune.tasks.images._decode import Pixels

__all__ = ["Decoded", "Images", "decoded"]

Images = Iterable[tuple[Pixels, int]]
"""Images with their classes, one after the other."""

_FORMAT = 1  # of the entries; part of their names


@dataclass(frozen=True)
class Decoded:
    """One decoded part of a data set.

    Attributes:
        images: uint8, ``[N, H, W, 3]``, mapped from the file and read-only.
        labels: Classes from 0, int64, ``[N]``.
    """

    images: Pixels
    labels: npt.NDArray[np.int64]


def decoded(
    name: str, source: Path, options: Mapping[str, Scalar], read: Callable[[], Images]
) -> Decoded:
    """Return a part of a data set, decoded by the first process that asks.

    Args:
        name: Description, for users who open the folder.
        source: File or folder that it is read from; another size or time makes another entry.
        options: Other inputs that determine the content.
        read: Decodes it; called in one process only.

    Returns:
        The arrays.

    Raises:
        TaskError: The cache folder cannot be written, or there is no image in the source.
    """
    folder = cache_root() / "images" / f"{name}-{_digest(source, options)}"
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder.with_suffix(".lock")):
                if not folder.is_dir():
                    _make(folder, source, read())
        images = np.load(folder / "images.npy", mmap_mode="r")
        return Decoded(images, np.load(folder / "labels.npy"))
    except OSError as error:
        raise TaskError(
            f"decoded images cannot be stored in {folder.parent} ({error}); set ECD_TUNE_CACHE to "
            "a folder with free space, or remove a damaged entry"
        ) from error


def _digest(source: Path, options: Mapping[str, Scalar]) -> str:
    stat = source.stat()
    identity = [str(source.resolve()), stat.st_size, stat.st_mtime_ns]
    about = [_FORMAT, *identity, sorted(options.items())]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the system lets go of it when this process dies
        yield


def _make(folder: Path, source: Path, images: Images) -> None:
    unfinished = folder.with_suffix(".part")
    # We hold the lock, so a folder of that name was left by a process that died.
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    with (unfinished / "images.npy").open("wb") as file:
        labels = _write(file, images)
    if not labels:
        raise TaskError(
            f"{source} contains no image of this split; is it the right file, and complete?"
        )
    np.save(unfinished / "labels.npy", np.array(labels, dtype=np.int64))
    unfinished.rename(folder)


def _write(file: IO[bytes], images: Images) -> list[int]:
    # How many there are is known at the end: the header is written again then. Numpy's header
    # allows the first axis to grow.
    labels: list[int] = []
    shape: tuple[int, ...] = ()
    for pixels, label in images:
        if not labels:
            shape = pixels.shape
            _write_header(file, 0, shape)
        elif pixels.shape != shape:
            raise TaskError(f"image {len(labels)} has shape {pixels.shape}, the first has {shape}")
        file.write(np.ascontiguousarray(pixels, dtype=np.uint8).tobytes())
        labels.append(label)
    file.seek(0)
    _write_header(file, len(labels), shape)
    return labels


def _write_header(file: IO[bytes], count: int, shape: tuple[int, ...]) -> None:
    about = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(file, about)
