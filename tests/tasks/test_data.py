"""Finding data files, and the message if they are missing."""

import pytest

from ecd_tune.errors import TaskError
from ecd_tune.tasks import data
from ecd_tune.tasks.data import ROOT_VARIABLE, Layout, data_root, find_layout

NEW = Layout("new", ("a/x.csv", "a/y.csv"), "from the authors")
OLD = Layout("old", ("old/z.csv",), "from the archive")


def put(root, name):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()


def test_the_variable_names_the_root(tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    assert data_root() == tmp_path


@pytest.mark.parametrize("exists", [True, False])
def test_default_root_is_beside_the_checkout(tmp_path, monkeypatch, exists):
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(data, "_checkout_data", lambda: tmp_path if exists else tmp_path / "none")
    assert data_root() == (tmp_path if exists else None)


def test_the_first_complete_layout_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    for name in (NEW.files[0], OLD.files[0]):
        put(tmp_path, name)
    assert find_layout("task", (NEW, OLD)) == (OLD, tmp_path)
    put(tmp_path, NEW.files[1])
    assert find_layout("task", (NEW, OLD)) == (NEW, tmp_path)


def test_missing_files_are_named_with_root_and_source(tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    put(tmp_path, NEW.files[0])
    with pytest.raises(TaskError) as caught:
        find_layout("sum", (NEW, OLD))
    for words in ("sum", *NEW.files, *OLD.files, NEW.source, OLD.source, str(tmp_path)):
        assert words in str(caught.value)
    assert "a/y.csv missing" in str(caught.value)


def test_without_a_root_the_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(data, "_checkout_data", lambda: tmp_path / "none")
    with pytest.raises(TaskError, match=r"ECD_TUNE_DATA is not set.*old/z\.csv"):
        find_layout("sum", (OLD,))
