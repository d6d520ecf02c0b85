"""Iterate over the files of a folder, a tar or a zip alike, without unpacking anything."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path

from ecd_tune.errors import TaskError

__all__ = ["Entry", "walk"]

Entry = tuple[str, Callable[[], bytes]]
"""Name with forward slashes, and how to read it; only until the next one is asked for."""


def walk(path: Path) -> Iterator[Entry]:
    """Iterate over all files below ``path``.

    Args:
        path: A folder, or an archive: ``.zip``, ``.tar``, and a tar packed with gzip or xz.

    Yields:
        Files in the order of the archive; those of a folder by name.

    Raises:
        TaskError: The archive cannot be read.
    """
    kind = _walk_folder if path.is_dir() else _walk_zip if path.suffix == ".zip" else _walk_tar
    with _explained(path):
        for name, read in kind(path):
            yield name, partial(_read, path, read)


def _read(path: Path, read: Callable[[], bytes]) -> bytes:
    with _explained(path):
        return read()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError) as error:
        raise TaskError(
            f"{path} cannot be read ({error}); it may be truncated: download it again"
        ) from error


def _walk_folder(path: Path) -> Iterator[Entry]:
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path).as_posix(), file.read_bytes


def _walk_zip(path: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, partial(archive.read, info)


def _walk_tar(path: Path) -> Iterator[Entry]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, partial(_read_member, archive, member)


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()
