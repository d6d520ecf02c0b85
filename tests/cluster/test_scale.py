"""The benchmark of many workers, small: it checks budget and connections."""

from __future__ import annotations

import pytest

from benchmarks.scale import SERVERS, measure
from ecd_tune.testing.pgbouncer import find_pgbouncer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_pgbouncer() is None, reason="no pgbouncer is installed"),
]


def test_two_hundred_workers_share_sixty_connections() -> None:
    found = measure(workers=200, seconds=5.0, rounds=3, groups=4)
    assert found["trials"] - found["lost"] == 600
    assert found["connections"] <= SERVERS + 4  # those of the test itself
    assert found["refused"] == 0
    assert found["lost"] == 0
