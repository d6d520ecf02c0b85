"""A worker killed in the middle of many trials at once: nothing is lost, nothing runs twice."""

from __future__ import annotations

import multiprocessing
import signal
import time

import pytest

from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.store import Store
from ecd_tune.testing.faults import assert_whole
from ecd_tune.worker import StudyWorker

TRIALS, WIDTH = 110, 48
_PROCESSES = multiprocessing.get_context("forkserver")


def make_spec() -> StudySpec:
    return parse_study(
        {
            "name": "lanes",
            "task": {"name": "digits", "hidden": 4, "batch_size": 512},
            "budget": {"trials": TRIALS, "steps": 4, "batch": WIDTH},
            "sampler": {"name": "random"},
            "confirmation": {"runs": 0},
            "optimizers": {
                "ecdsep": {
                    "space": {"lr": {"low": 0.01, "high": 0.1}, "eta": {"low": 1, "high": 2}}
                }
            },
        }
    )


def work(url: str) -> None:
    with Store.open(url) as store:
        StudyWorker(store, make_spec(), StopFlag()).run()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return request.getfixturevalue("postgres_url")


def test_a_kill_in_the_middle_of_a_wide_study(url):
    spec = make_spec()
    with Store.open(url) as store:
        store.create(spec)
        process = _PROCESSES.Process(target=work, args=(url,))
        process.start()
        deadline = time.monotonic() + 120
        while True:
            search, _ = store.progress(spec.name)
            if search.finished >= 10 and search.running > WIDTH // 4:
                break
            assert process.is_alive(), "the worker ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        work(url)
        records = assert_whole(store, spec)
    assert sum(record.lost for record in records) > WIDTH // 4
