"""The digest of data files: its content, and reading each file once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ecd_tune.tasks import data_digest as module
from ecd_tune.tasks.data_digest import DIGITS, data_digest, digest_files


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files, and a cache that nothing has been kept in."""
    monkeypatch.setenv("ECD_TUNE_CACHE", str(tmp_path / "cache"))
    module._digest_listing.cache_clear()
    folder = tmp_path / "data"
    (folder / "b").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"one")
    (folder / "b" / "c.txt").write_bytes(b"two")
    return folder


def begin_again() -> None:
    """As another process of this machine."""
    module._digest_listing.cache_clear()


def test_digest_depends_on_names_sizes_and_contents(root: Path) -> None:
    names = hashlib.sha256(b"a.txt\0b/c.txt\0").hexdigest()
    expected = hashlib.sha256(names.encode() + b"\x003\0one\x003\0two").hexdigest()[:DIGITS]
    assert digest_files(root, ("a.txt", "b/c.txt")) == expected
    assert digest_files(root, ("b", "a.txt", "missing")) == expected


def test_many_or_large_files_are_sampled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 1)
    monkeypatch.setattr(module, "_MOST_BLOCKS", 2)
    first = digest_files(root, ("b",))
    (root / "b" / "c.txt").write_bytes(b"tWo")  # blocks begin at 0, 1 and 2 of three bytes
    os.utime(root / "b" / "c.txt", ns=(1, 1))
    assert digest_files(root, ("b",)) != first
    (root / "b" / "c.txt").write_bytes(b"012345")  # at 0 and 3
    first = digest_files(root, ("b",))
    (root / "b" / "c.txt").write_bytes(b"0xx3xx")
    begin_again()
    os.utime(root / "b" / "c.txt", ns=(2, 2))
    assert digest_files(root, ("b",)) == first
    monkeypatch.setattr(module, "_MOST_FILES", 2)
    first = digest_files(root, ("a.txt", "b/c.txt"))
    (root / "b" / "c.txt").write_bytes(b"xxxxxxx")  # the second of two
    assert digest_files(root, ("a.txt", "b/c.txt")) == first
    (root / "d.txt").write_bytes(b"")
    assert digest_files(root, ("a.txt", "b/c.txt", "d.txt")) != first  # its name is seen


def test_one_changed_byte_is_another_digest(root: Path) -> None:
    before = digest_files(root, ("b",))
    (root / "b" / "c.txt").write_bytes(b"twO")
    os.utime(root / "b" / "c.txt", ns=(1, 1))
    assert digest_files(root, ("b",)) != before


def test_digest_is_cached_between_processes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = digest_files(root, ("b",))
    begin_again()
    monkeypatch.setattr(module, "_read", None)
    assert digest_files(root, ("b",)) == first


def test_a_file_that_was_cut_short_is_made_again(root: Path, tmp_path: Path) -> None:
    first = digest_files(root, ("b",))
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    kept.write_text(first[:3])
    begin_again()
    assert digest_files(root, ("b",)) == first == kept.read_text()


def test_a_cache_that_cannot_be_written_costs_only_time(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ECD_TUNE_CACHE", str(tmp_path / "file"))
    assert len(digest_files(root, ("b",))) == DIGITS


def test_links_pipes_and_odd_names_are_handled(root: Path) -> None:
    (root / "b" / "gone").symlink_to(root / "nowhere")
    (root / "b" / "circle").symlink_to(root / "b")
    os.mkfifo(root / "b" / "pipe")
    Path(os.fsdecode(os.fsencode(root / "b") + b"/\xff")).write_bytes(b"three")
    first = digest_files(root, ("b",))
    assert len(first) == DIGITS
    (root / "b" / "gone").unlink()
    assert digest_files(root, ("b",)) != first  # its name is seen


def test_unreadable_file_gives_no_digest(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied", "c.txt")

    monkeypatch.setattr(module, "_read", refuse)
    assert digest_files(root, ("b",)) == ""
    assert "Permission denied: 'c.txt'" in caplog.text


@pytest.mark.parametrize("text", [b"\xff" * DIGITS, b"x" * DIGITS, b"0" * DIGITS + b"\n"])
def test_invalid_cache_is_ignored(root: Path, tmp_path: Path, text: bytes) -> None:
    first = digest_files(root, ("b",))
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    kept.write_bytes(text)
    begin_again()
    assert digest_files(root, ("b",)) == first


def test_the_files_of_a_data_set_are_those_of_its_layout(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECD_TUNE_DATA", str(root))
    assert data_digest(object(), "zakharov", {}) == ""
    assert data_digest(object(), "cifar100", {}) == ""  # not there: the task says so itself
    (root / "cifar-100-binary.tar.gz").write_bytes(b"x")
    assert data_digest(object(), "cifar100", {}) == digest_files(root, ("cifar-100-binary.tar.gz",))
