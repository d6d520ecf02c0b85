"""Shared parts of the store's contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ecd_tune.records import Lease
from ecd_tune.spec import StudySpec
from ecd_tune.store import Progress, Store, Worker
from ecd_tune.testing.store.study import OPTIMIZER

__all__ = ["StoreFixtures"]


class StoreFixtures:
    """Shared parts of the contract; override the fixture :meth:`url`."""

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of an empty database."""
        raise NotImplementedError("override the fixture url")

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        """Open the store.

        Yields:
            The store.
        """
        with Store.open(url) as store:
            yield store

    @pytest.fixture
    def worker(self) -> Worker:
        """Return this process."""
        return Worker.current()

    def ask(self, store: Store, spec: StudySpec, count: int) -> list[Lease]:
        """Ask as this process."""
        return store.ask(spec, OPTIMIZER, count=count, worker=Worker.current())

    def search(self, store: Store, spec: StudySpec) -> Progress:
        """Return the progress of the search."""
        (found,) = (p for p in store.progress(spec.name) if p.key == spec.key(OPTIMIZER))
        return found
