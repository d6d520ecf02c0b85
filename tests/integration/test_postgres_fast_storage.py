"""The storage behind the dashboard satisfies Optuna's contract on PostgreSQL too."""

from __future__ import annotations

import gc
import pickle
import warnings

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.store import Store


@pytest.mark.slow
class TestFastStorageOnPostgres(StorageTestCase):
    @pytest.fixture
    def storage(self, request, postgres, postgres_url, monkeypatch):
        monkeypatch.setenv("PGPASSWORD", postgres.password)  # for what comes out of a pickle
        Store.open(postgres_url).close()
        storage = FastStorage(postgres_url)
        yield storage
        storage.close()
        if request.node.name == "test_pickle_storage":
            # Optuna's test closes nothing that it restored.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()

    def test_a_pickle_holds_no_password(self, postgres, storage):
        assert postgres.password in storage.url
        assert postgres.password.encode() not in pickle.dumps(storage)
