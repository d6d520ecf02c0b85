"""A worker is told from every other process, and its death is seen on its own machine only."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace

import pytest

from ecd_tune.store import Store, Worker
from ecd_tune.store import workers as workers_module
from ecd_tune.testing.store import make_spec


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


def test_a_killed_process_is_dead_even_before_its_parent_has_looked(child):
    worker = as_worker(child)
    assert not worker.is_dead
    child.kill()
    child.stdin.flush()
    for _ in range(200):
        if worker.is_dead:
            break
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert child.returncode is None  # nobody waited for it: a zombie
    assert worker.is_dead


def test_another_process_under_the_same_number_is_not_the_worker(child):
    worker = as_worker(child)
    assert replace(worker, process_start=worker.process_start - 1).is_dead


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"boot_id": "x"}, {"boot_id": ""}])
def test_nothing_is_known_about_other_machines(child, change):
    worker = replace(as_worker(child), pid=2**22 + 1, **change)
    assert not worker.is_dead


@pytest.mark.parametrize(("other", "said"), [("another-boot/pid:[1]", 1), ("", 0), (None, 0)])
def test_an_sqlite_file_that_several_machines_use_is_said_once(other, said, tmp_path, caplog):
    """Its leases expire by the clock of whoever looks."""
    mine = Worker.current()
    boot = mine.boot_id.partition("/")[0] + "/pid:[another container]" if other is None else other
    spec = make_spec()
    with Store.open(f"sqlite:///{tmp_path / f'{said}{other is None}.db'}") as store:
        store.create(spec)
        theirs = replace(mine, boot_id=boot, host="elsewhere")
        store.ask(spec, "ecdsep", count=1, worker=theirs)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert store.reap() == 0
    assert caplog.text.count("used from several machines") == said
