"""The storage behind the dashboard is an Optuna storage, by Optuna's own contract."""

from __future__ import annotations

import shutil

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.store import Store


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """An empty database; making one takes longer than most of the tests."""
    file = tmp_path_factory.mktemp("prepared") / "store.db"
    Store.open(f"sqlite:///{file}").close()
    return file


class TestFastStorageOnSqlite(StorageTestCase):
    @pytest.fixture
    def storage(self, prepared, tmp_path):
        shutil.copy(prepared, tmp_path / "store.db")
        storage = FastStorage(f"sqlite:///{tmp_path}/store.db")
        yield storage
        storage.close()
