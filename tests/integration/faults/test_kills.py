"""Workers killed at random moments: nothing is lost, nothing runs twice, the budget is exact."""

from __future__ import annotations

import random
import time

import pytest

from ecd_tune.store import Store
from ecd_tune.testing.faults import WorkerGroup, assert_consistent
from ecd_tune.testing.store import make_spec


def kill_workers(url: str, kills: int) -> None:
    chooser = random.Random(kills)
    # Four workers of at most ten trials a second, and a kill about every quarter of a second.
    spec = make_spec(trials=9 * kills + 30, retries={"lost": 1000})
    with Store.open(url) as store:
        store.create(spec)
        with WorkerGroup(url, spec, 4, seconds=0.1, count=1).working() as crew:
            done = at_work = 0
            while done < kills:
                time.sleep(chooser.uniform(0.0, 0.2))
                assert store.progress(spec.name)[0].remaining, f"complete after {done} kills"
                # Every other one at any moment: while it starts, asks or tells.
                holding = bool(done % 2)
                killed = crew.kill_one(chooser, store, at_work=holding)
                done, at_work = done + killed, at_work + (killed and holding)
                crew.fill()
            assert crew.wait(300) == [0] * 4
        records = assert_consistent(store, spec)
        assert at_work
        assert sum(record.lost for record in records) >= at_work


def test_fifteen_kills(url):
    kill_workers(url, kills=15)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_thousand_kills(url):
    kill_workers(url, kills=1000)
