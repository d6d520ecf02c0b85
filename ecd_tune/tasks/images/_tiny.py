"""Tiny ImageNet: as its authors ship it, and as a subset sorted into folders.

The official layout has ``train/<wnid>/images/*.JPEG`` and ``val/images/*.JPEG`` with the classes in
``val/val_annotations.txt``; in the subset both parts are ``<part>/<wnid>/*.JPEG``. Both list the
classes in ``wnids.txt``. The layout identifies the version.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from ecd_tune.errors import TaskError
from ecd_tune.tasks.images._cache import Images
from ecd_tune.tasks.images._decode import decode
from ecd_tune.tasks.images._walk import walk

__all__ = ["read_tiny"]

PartName = Literal["train", "val"]


def read_tiny(path: Path, part: PartName, per_class: int, size: int) -> Images:
    """Read one part; class k is line k of ``wnids.txt``.

    Args:
        path: Archive or folder.
        part: ``train`` or the official ``val``.
        per_class: At most so many images of each class; 0: all.
        size: Side of the images, resized where it is not 64.

    Yields:
        Images ``[size, size, 3]`` and classes.

    Raises:
        TaskError: The lists of classes are missing.
    """
    wnids, of_file = _read_lists(path, part)
    counts = dict.fromkeys(wnids, 0)
    for name, read in walk(path):
        where = _inside(name)
        if not where or where[0] != part or not where[-1].upper().endswith(".JPEG"):
            continue
        wnid = where[1] if where[1] in wnids else of_file.get(where[-1], "")
        if wnid not in wnids or (per_class and counts[wnid] >= per_class):
            continue
        counts[wnid] += 1
        yield decode(read(), size), wnids[wnid]
        if per_class and min(counts.values()) >= per_class:
            return


def _inside(name: str) -> tuple[str, ...]:
    # Path below the folder that archives begin with, if they do.
    parts = PurePosixPath(name).parts
    return parts[1:] if parts and parts[0] == "tiny-imagenet-200" else parts


def _read_lists(path: Path, part: PartName) -> tuple[dict[str, int], dict[str, str]]:
    wnids: dict[str, int] = {}
    of_file: dict[str, str] = {}
    sorted_by_class = False
    for name, read in walk(path):
        where = _inside(name)
        if where == ("wnids.txt",):
            wnids = {wnid: k for k, wnid in enumerate(read().decode().split())}
        elif where == ("val", "val_annotations.txt"):
            lines = read().decode().splitlines()
            of_file = {line.split("\t")[0]: line.split("\t")[1] for line in lines if line}
        elif len(where) > 2 and where[0] == part and where[1] != "images":
            sorted_by_class = True
        if wnids and (of_file or sorted_by_class):
            return wnids, of_file
    raise TaskError(
        f"{path} lacks {'val/val_annotations.txt' if wnids else 'wnids.txt'}; it must be the "
        "official tiny-imagenet-200, or <part>/<wnid>/*.JPEG with wnids.txt"
    )
