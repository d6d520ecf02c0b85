"""Images are decoded once, by one process, and completely."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ecd_tune.errors import TaskError
from ecd_tune.tasks.data import cache_root
from ecd_tune.tasks.images._cache import decoded


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("ECD_TUNE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "source"
    file.write_bytes(b"x")
    return file


def images(count=3):
    for k in range(count):
        yield np.full((2, 2, 3), k % 256, dtype=np.uint8), 10 * k


def refuse():
    raise AssertionError("decoded again")


@pytest.mark.parametrize("count", [1, 3, 12345])
def test_arrays_come_back_as_they_were_written(source, count):
    data = decoded("made", source, {}, lambda: images(count))
    assert data.images.shape == (count, 2, 2, 3)
    assert np.array_equal(data.images[:, 1, 1, 2], np.arange(count) % 256)
    assert np.array_equal(data.labels, 10 * np.arange(count))
    assert isinstance(data.images, np.memmap)
    assert not data.images.flags.writeable


def test_entries_are_decoded_once_and_keyed_by_content(source):
    decoded("made", source, {"size": 2}, images)
    decoded("made", source, {"size": 2}, refuse)
    assert len(decoded("made", source, {"size": 3}, lambda: images(1)).labels) == 1
    os.utime(source, ns=(0, 1))
    assert len(decoded("made", source, {"size": 2}, lambda: images(2)).labels) == 2
    source.write_bytes(b"xy")
    os.utime(source, ns=(0, 1))
    assert len(decoded("made", source, {"size": 2}, lambda: images(4)).labels) == 4


def test_incomplete_entries_are_ignored(source):
    def die():
        yield from images(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded("made", source, {}, die)
    assert len(decoded("made", source, {}, images).labels) == 3
    assert not list(cache_root().rglob("*.part"))


def test_a_source_without_images_and_unequal_images_are_refused(source):
    with pytest.raises(TaskError, match="no image"):
        decoded("made", source, {}, lambda: iter(()))
    unequal = [(np.zeros((2, 2, 3), np.uint8), 0), (np.zeros((2, 3, 3), np.uint8), 0)]
    with pytest.raises(TaskError, match="image 1 has shape"):
        decoded("made", source, {}, lambda: iter(unequal))


def test_a_cache_that_cannot_be_written_is_named(source, monkeypatch):
    monkeypatch.setenv("ECD_TUNE_CACHE", str(source))
    with pytest.raises(TaskError, match="ECD_TUNE_CACHE"):
        decoded("made", source, {}, images)


WORKER = """
import sys, time
from pathlib import Path
import numpy as np
from ecd_tune.tasks.images._cache import decoded
def read():
    Path(sys.argv[2]).open("a").write("decoded\\n")
    Path(sys.argv[3]).touch()
    time.sleep(1)
    yield np.zeros((2, 2, 3), np.uint8), 7
print(decoded("made", Path(sys.argv[1]), {}, read).labels.tolist())
"""


def test_two_processes_decode_once_and_the_second_waits(source, tmp_path):
    log, began = tmp_path / "log", tmp_path / "began"
    start = [sys.executable, "-c", WORKER, str(source), str(log), str(began)]
    first = subprocess.Popen(start, stdout=subprocess.PIPE, text=True)
    while not began.exists():
        assert first.poll() is None
        time.sleep(0.01)
    second = subprocess.run(start, capture_output=True, text=True, check=True)
    assert first.communicate()[0] == second.stdout == "[7]\n"
    assert log.read_text() == "decoded\n"


def test_the_default_place_is_in_the_home_folder(monkeypatch):
    monkeypatch.delenv("ECD_TUNE_CACHE")
    assert cache_root() == Path.home() / ".cache" / "ecd_tune"
