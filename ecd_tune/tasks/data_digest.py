"""A short digest of the data that a task reads, stored with each trial.

Files are read once per machine and content: a file in ``ECD_TUNE_CACHE`` stores the digest of a
data set, with the names, sizes and modification times of its files as the key.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ecd_tune.records import Scalar
from ecd_tune.tasks.base import DigestedTask
from ecd_tune.tasks.data import cache_root, data_root
from ecd_tune.tasks.needed_data import needed_data

__all__ = ["DIGITS", "data_digest", "digest_files"]

DIGITS = 16
"""Hexadecimal digits of a digest: enough to distinguish data sets, its only purpose."""

_log = logging.getLogger(__name__)
_DIGEST = rb"[0-9a-f]{%d}" % DIGITS
_BLOCK = 1 << 20
_MOST_BLOCKS = 1 << 10  # of a file
_MOST_FILES = 20_000


def data_digest(task: Any, name: str, options: Mapping[str, Scalar]) -> str:
    """Return the digest of a task's data.

    Args:
        task: The task; a :class:`~ecd_tune.tasks.DigestedTask` provides its own digest.
        name: Its registry name.
        options: Options that a study sets.

    Returns:
        :data:`DIGITS` digits; empty if the task reads no data, or if its data are not known.
    """
    if isinstance(task, DigestedTask):
        return task.data_digest()
    root = data_root()
    layouts = [data_set.found(root) for data_set in needed_data(name, options)]
    names = [n for layout in layouts if layout for n in (*layout.files, *layout.optional)]
    return digest_files(root, tuple(sorted(names))) if root is not None and names else ""


def digest_files(root: Path, names: tuple[str, ...]) -> str:
    """Return the digest of all names and of the content of files.

    For more than 20 000 files it covers the content of evenly spaced files, and for a file of more
    than 1 GiB evenly spaced blocks.

    Args:
        root: Folder to which the names are relative.
        names: Files and folders; missing ones are ignored.

    Returns:
        :data:`DIGITS` digits; empty where a file cannot be read, which is logged.
    """
    found = sorted({path for name in names for path in _walk(root / name)})
    digest = hashlib.sha256()
    for path in found:
        digest.update(os.fsencode(f"{path.removeprefix(f'{root}/')}\0"))
    chosen = found[:: 1 + len(found) // _MOST_FILES]
    try:
        return _digest_listing(digest.hexdigest(), tuple(_list(chosen)))
    except OSError as error:  # the task reads what it needs, and says what it lacks
        _log.warning("no digest of the data below %s: %s", root, error)
        return ""


def _list(paths: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    for path in paths:
        with suppress(FileNotFoundError):  # a link to nowhere; its name is in the digest
            found = Path(path).stat()
            # Nothing else is opened: a pipe waits for a writer.
            if stat.S_ISREG(found.st_mode):
                yield path, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=64)
def _digest_listing(names: str, listing: tuple[tuple[str, int, int], ...]) -> str:
    key = hashlib.sha256(repr((names, listing)).encode()).hexdigest()[:32]
    kept = cache_root() / "digests" / key
    with suppress(OSError):
        text = kept.read_bytes()
        if re.fullmatch(_DIGEST, text):  # a full disk can truncate it
            return text.decode()
    digest = _read(names, listing)
    with suppress(OSError):  # it is computed again next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(digest)
    return digest


def _walk(path: Path) -> Iterator[str]:
    if path.is_file():
        yield str(path)
    for folder, _, files in os.walk(path):
        yield from (f"{folder}/{file}" for file in files)


def _read(names: str, listing: Iterable[tuple[str, int, int]]) -> str:
    digest = hashlib.sha256(names.encode())
    for path, size, _ in listing:
        digest.update(f"\0{size}\0".encode())
        with Path(path).open("rb") as file:
            for start in range(0, size, max(_BLOCK, size // _MOST_BLOCKS)):
                file.seek(start)
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:DIGITS]
