"""A small data root in every official layout, and the stand-ins where they are."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ecd_tune.tasks.data import data_root
from tests.tasks.images.made import (
    cifar_binary,
    draw_pixels,
    pack_tar,
    tiny_files,
    write_imagenet,
)

SHARED = data_root()


@pytest.fixture(scope="session")
def made_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for name, classes, coarse in (("10", 10, False), ("100", 100, True)):
        count = 12 * classes if classes == 10 else 4 * classes
        train, held = (draw_pixels(n, classes, 32, n) for n in (count, 2 * classes))
        batches = {"data_batch_1.bin": (train[0][:50], train[1][:50])}
        batches |= {"data_batch_2.bin": (train[0][50:], train[1][50:]), "test_batch.bin": held}
        folder = "cifar-10-batches-bin"
        if coarse:
            folder, batches = "cifar-100-binary", {"train.bin": train, "test.bin": held}
        pack_tar(
            root / f"cifar-{name}-binary.tar.gz",
            {f"{folder}/{file}": cifar_binary(*batch, coarse) for file, batch in batches.items()},
        )
    with zipfile.ZipFile(root / "tiny-imagenet-200.zip", "w") as archive:
        for file, data in tiny_files().items():
            archive.writestr(file, data)
    write_imagenet(root / "imagenet")
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def places(monkeypatch, made_root, cache) -> Path:
    """All image tests read the made data, and write into a cache of their own."""
    monkeypatch.setenv("ECD_TUNE_DATA", str(made_root))
    monkeypatch.setenv("ECD_TUNE_CACHE", str(cache))
    return made_root


@pytest.fixture
def stand_ins(monkeypatch) -> Path:
    """The stand-ins for the paper's data; skips where they are not."""
    if SHARED is None or not (SHARED / "images").is_dir():
        pytest.skip("no stand-in data beside the checkout and no ECD_TUNE_DATA")
    monkeypatch.setenv("ECD_TUNE_DATA", str(SHARED))
    return SHARED
