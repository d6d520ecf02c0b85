"""The store's contract on a real PostgreSQL server."""

from __future__ import annotations

import pytest

from ecd_tune.testing.store import StoreContract


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def url(self, postgres_url):
        return postgres_url
