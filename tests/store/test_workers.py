"""A worker's identity, and detection of its death on its own machine only."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from ecd_tune.store import Worker
from ecd_tune.store import workers as workers_module


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    process.stdin.close()


def as_worker(process):
    start = workers_module._process_start(process.pid)
    return replace(Worker.current(), pid=process.pid, process_start=start)


def test_this_process_is_alive_and_keeps_its_identity():
    assert not Worker.current().is_dead
    assert Worker.current() == Worker.current()
    assert Worker.current().id == Worker.current().id


def test_killed_process_is_dead_before_it_is_reaped(child):
    worker = as_worker(child)
    assert not worker.is_dead
    child.kill()
    child.stdin.flush()
    for _ in range(200):
        if worker.is_dead:
            break
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert child.returncode is None  # no one waited for it: a zombie
    assert worker.is_dead


def test_reused_process_id_is_another_worker(child):
    worker = as_worker(child)
    assert replace(worker, process_start=worker.process_start - 1).is_dead


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"boot_id": "x"}, {"boot_id": ""}])
def test_nothing_is_known_about_other_machines(child, change):
    worker = replace(as_worker(child), pid=2**22 + 1, **change)
    assert not worker.is_dead
