"""CIFAR and Tiny ImageNet from each supported layout."""

import io
import pickle
import tarfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ecd_tune.errors import TaskError
from ecd_tune.tasks.images._cifar import JPEG_CLASSES, read_batches, read_jpeg
from ecd_tune.tasks.images._decode import decode
from ecd_tune.tasks.images._tiny import read_tiny
from tests.tasks.images.made import (
    WNIDS,
    cifar_binary,
    cifar_pickle,
    draw_pixels,
    encode,
    pack_tar,
    tiny_files,
)


def collect(images):
    pixels, labels = zip(*images, strict=True)
    return np.stack(pixels), np.array(labels)


def assert_reads(path, part, classes, expected):
    pixels, labels = collect(read_batches(path, part, classes))
    assert np.array_equal(pixels, expected[0])
    assert np.array_equal(labels, expected[1])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("classes", [10, 100])
def test_binary_batches(tmp_path, classes, packed):
    train, held = draw_pixels(2 * classes, classes, 32, 0), draw_pixels(classes, classes, 32, 1)
    if classes == 10:
        half = classes
        files = {
            "f/data_batch_1.bin": cifar_binary(train[0][:half], train[1][:half]),
            "f/data_batch_2.bin": cifar_binary(train[0][half:], train[1][half:]),
            "f/test_batch.bin": cifar_binary(*held),
            "f/batches.meta.txt": b"airplane\n",
        }
    else:
        files = {"f/train.bin": cifar_binary(*train, True), "f/test.bin": cifar_binary(*held, True)}
    path = write(tmp_path, files, packed)
    assert_reads(path, "train", classes, train)
    assert_reads(path, "test", classes, held)


@pytest.mark.parametrize(("classes", "key"), [(10, b"labels"), (100, b"fine_labels")])
def test_pickled_batches(tmp_path, classes, key):
    train, held = draw_pixels(2 * classes, classes, 32, 0), draw_pixels(classes, classes, 32, 1)
    names = ("data_batch_1", "test_batch") if classes == 10 else ("train", "test")
    files = {f"f/{n}": cifar_pickle(*d, key) for n, d in zip(names, (train, held), strict=True)}
    files["f/batches.meta"] = b"never read"
    path = write(tmp_path, files, packed=True)
    assert_reads(path, "train", classes, train)
    assert_reads(path, "test", classes, held)


def write(tmp_path, files, packed):
    if packed:
        pack_tar(tmp_path / "f.tar.gz", files)
        return tmp_path / "f.tar.gz"
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path / "f"


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_batch_is_read_or_refused(tmp_path, data):
    """Some bytes changed, or the end cut off: one message, whatever the unpickler says."""
    whole = cifar_pickle(*draw_pixels(4, 3, 32, 0), b"labels")
    changes = data.draw(st.dictionaries(st.integers(0, len(whole) - 1), st.integers(0, 255)))
    damaged = bytearray(whole)
    for at, value in changes.items():
        damaged[at] = value
    kept = damaged[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))]
    path = write(tmp_path, {"f/test_batch": bytes(kept)}, packed=False)
    images = []
    with suppress(TaskError):
        images = list(read_batches(path, "test", 10))
    assert {pixels.shape for pixels, _ in images} <= {(32, 32, 3)}


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of the file ran')",))


def test_a_pickle_that_calls_anything_else_is_refused(tmp_path):
    pack_tar(tmp_path / "f.tar.gz", {"f/test_batch": pickle.dumps({b"data": Evil()})})
    with pytest.raises(TaskError, match=r"builtins\.exec"):
        list(read_batches(tmp_path / "f.tar.gz", "test", 10))


def test_cut_short_and_foreign_files_are_refused(tmp_path):
    data = cifar_binary(*draw_pixels(4, 4, 32, 0))
    pack_tar(tmp_path / "f.tar.gz", {"test_batch.bin": data[:-1]})
    with pytest.raises(TaskError, match="multiple of the record size"):
        list(read_batches(tmp_path / "f.tar.gz", "test", 10))
    pack_tar(tmp_path / "g.tar.gz", {"test_batch.bin": b"\x0b" + data[1:]})
    with pytest.raises(TaskError, match="to 11, not below 10"):
        list(read_batches(tmp_path / "g.tar.gz", "test", 10))
    whole = (tmp_path / "g.tar.gz").read_bytes()
    (tmp_path / "h.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TaskError, match="truncated"):
        list(read_batches(tmp_path / "h.tar.gz", "test", 10))


def test_jpeg_reading_stops_when_there_is_enough(tmp_path):
    pixels, _ = draw_pixels(1, 1, 32, 0)
    files = {
        f"{part}/{name}/{i:04}.jpg": encode(pixels[0], "JPEG")
        for part in ("test", "train")
        for name in JPEG_CLASSES
        for i in range(3)
    }
    files["train/truck/9999.jpg"] = b"never reached"
    pack_tar(tmp_path / "f.tar.gz", files)
    _, labels = collect(read_jpeg(tmp_path / "f.tar.gz", "train", 2))
    assert labels.tolist() == [k for k in range(10) for _ in range(2)]
    with pytest.raises(TaskError, match="13 bytes cannot be read"):
        list(read_jpeg(tmp_path / "f.tar.gz", "train", 0))


@pytest.mark.parametrize("packed", [True, False])
def test_official_tiny_imagenet(made_root, tmp_path, packed):
    path = made_root / "tiny-imagenet-200.zip"
    if not packed:
        for name, data in tiny_files().items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        path = tmp_path / "tiny-imagenet-200"
    files = tiny_files()
    for per_class, count in ((0, 12), (5, 5)):
        pixels, labels = collect(read_tiny(path, "train", per_class, 64))
        assert np.bincount(labels).tolist() == [count] * 3
        first = decode(files[f"tiny-imagenet-200/train/{WNIDS[0]}/images/{WNIDS[0]}_1.JPEG"], 64)
        assert any(np.array_equal(first, image) for image in pixels[labels == 0])
    pixels, labels = collect(read_tiny(path, "val", 0, 64))
    expected = [
        decode(files[f"tiny-imagenet-200/val/images/val_{i}.JPEG"], 64) for i in range(0, 12, 3)
    ]
    found = sorted(image.tobytes() for image in pixels[labels == 0])
    assert found == sorted(image.tobytes() for image in expected)


def test_tiny_imagenet_without_its_lists_is_refused(tmp_path):
    for missing in ("wnids.txt", "val/val_annotations.txt"):
        files = tiny_files()
        del files[f"tiny-imagenet-200/{missing}"]
        pack_tar(tmp_path / "f.tar.gz", files)
        with pytest.raises(TaskError, match=missing):
            list(read_tiny(tmp_path / "f.tar.gz", "val", 0, 64))


def test_other_sizes_are_resized():
    pixels, _ = draw_pixels(1, 1, 64, 0)
    expected = np.asarray(Image.fromarray(pixels[0]).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.array_equal(decode(encode(pixels[0]), 16), expected)


def test_all_530_grey_images_of_the_subset_become_rgb(stand_ins):
    grey = []
    with tarfile.open(stand_ins / "images/tiny-imagenet-200-subset.tar") as archive:
        for member in archive:
            if member.name.endswith(".JPEG"):
                data = archive.extractfile(member).read()
                if Image.open(io.BytesIO(data)).mode == "L":
                    grey.append(data)
    assert len(grey) == 530
    for data in grey:
        pixels = decode(data, 64)
        assert pixels.shape == (64, 64, 3)
        assert np.array_equal(pixels[..., 0], pixels[..., 1])
        assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_subset_of_tiny_imagenet_has_all_classes_in_official_order(stand_ins):
    path = stand_ins / "images/tiny-imagenet-200-subset.tar"
    _, labels = collect(read_tiny(path, "train", 1, 8))
    assert sorted(labels) == list(range(200))
    with tarfile.open(path) as archive:
        wnids = archive.extractfile("wnids.txt").read().decode().split()
        first = next(m.name for m in archive if m.name.startswith("train/"))
    assert wnids[labels[0]] == first.split("/")[1]
