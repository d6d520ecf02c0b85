"""The device of a worker, and how the database stores it."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from ecd_tune.records import StudyKey
from ecd_tune.store import HeldTrial, Store, Worker, device
from ecd_tune.store.db import schema, tables
from ecd_tune.store.device import describe_device, name_visible
from ecd_tune.testing.store import make_spec

# As the driver's manual shows it: whole GPUs, and one that is cut into slices.
LISTED = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1a2b3c4d-0000-1111-2222-333344445555)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-9f8e7d6c-0000-1111-2222-333344445555)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-0000-1111-2222-333344445555)
  MIG 1g.5gb      Device  0: (UUID: MIG-aaaa0000-0000-1111-2222-333344445555)
  MIG 3g.20gb     Device  1: (UUID: MIG-bbbb0000-0000-1111-2222-333344445555)
"""
H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, [H100, H100, A100]),
        ("", []),
        ("2,0", [A100, H100]),
        ("1,-1,2", [H100]),
        ("GPU-5d5b", [A100]),
        ("MIG-bbbb0000-0000-1111-2222-333344445555", [f"MIG 3g.20gb of {A100}"]),
        ("7", ["GPU 7"]),
        ("GPU-", ["GPU-"]),
    ],
)
def test_gpus_are_those_visible_to_cuda(visible, names):
    assert name_visible(LISTED, visible) == names


@pytest.fixture
def fresh():
    describe_device.cache_clear()
    yield
    describe_device.cache_clear()


@pytest.fixture
def driver(tmp_path, monkeypatch, fresh):
    """A machine with the driver's program, and no torch loaded."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return program


def torch_that(*, built, names=()):
    cuda = SimpleNamespace(
        is_initialized=lambda: bool(names),
        device_count=lambda: len(names),
        get_device_name=lambda index: names[index],
    )
    return SimpleNamespace(
        backends=SimpleNamespace(cuda=SimpleNamespace(is_built=lambda: built)), cuda=cuda
    )


def test_equal_gpus_are_counted(driver):
    assert describe_device() == f"2 × {H100}, {A100}"


def test_a_torch_without_cuda_computes_on_the_processor(driver, monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n")
    monkeypatch.setattr(device, "_CPU_INFO", info)
    monkeypatch.setitem(sys.modules, "torch", torch_that(built=False))
    assert describe_device() == "Some CPU @ 3 GHz"


def test_initialized_torch_reports_the_device(driver, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch_that(built=True, names=["X", "X"]))
    assert describe_device() == "2 × X"


def test_without_visible_gpus_it_is_the_processor(driver, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(device, "_CPU_INFO", tmp_path / "absent")
    assert describe_device() != ""
    assert "NVIDIA" not in describe_device()


def test_failing_driver_means_no_gpu(driver):
    driver.write_text("#!/bin/sh\necho 'driver mismatch' >&2\nexit 18\n")
    assert "GPU" not in describe_device()


def test_workers_have_devices_and_trials(tmp_path):
    spec = make_spec()
    worker = replace(Worker.current(), device="a GPU")
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.create(spec)
        store.tell([])
        leases = store.ask(spec, "ecdsep", count=2, worker=worker)
        (record,) = store.workers()
        assert record.device == "a GPU"
        key = StudyKey("contract", "ecdsep")
        assert record.trials == (HeldTrial(key, 0), HeldTrial(key, 1))
        store.release(leases)
        (record,) = store.workers()
        assert record.running == 0


def test_heartbeat_age_uses_the_clock_of_the_database(tmp_path):
    spec = make_spec()
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.create(spec)
        store.ask(spec, "ecdsep", count=1, worker=Worker.current())
        with store._database.write() as connection:
            later = tables.workers.c.seen_at - 100.0
            connection.execute(sa.update(tables.workers).values(seen_at=later))
        (record,) = store.workers()
        assert 100.0 <= record.age < 110.0


def test_workers_of_an_older_database_are_kept(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/store.db"
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", _upgrade_to("0002", command.upgrade))
        Store.open(url).close()
    engine = sa.create_engine(url)
    old = "INSERT INTO ecd_workers VALUES ('w', 'host', 'boot', 7, 1, '{}', 1.0, 2.0)"
    with engine.begin() as connection:
        connection.execute(sa.text(old))
        assert schema._stored_version(connection) == "0002"
    engine.dispose()
    with Store.open(url) as store:
        (record,) = store.workers()
    assert (record.name, record.device, record.running) == ("host:7", "", 0)


def _upgrade_to(revision, upgrade):
    def stop_there(config: Config, _head: str) -> None:
        upgrade(config, revision)

    return stop_there
