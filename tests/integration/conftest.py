"""Integration tests may use a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ecd_tune.store import Store
from ecd_tune.store.db.engine import Database
from ecd_tune.testing.postgres import postgres, postgres_url
from ecd_tune.testing.store import make_spec
from tests.integration.asking import SPEC

__all__ = ["database", "postgres", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield a database that holds the studies of one spec; one test for each kind."""
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    with Store.open(url, retry_seconds=1.0) as store:
        store.create(make_spec())
        yield store._database


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Yield a store with the study of ``asking.SPEC``; one test for each kind of database."""
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    with Store.open(url, retry_seconds=5.0) as store:
        store.create(SPEC)
        yield store
