"""The processor's energy: TDP shared by cores, and RAPL read from a folder like the kernel's."""

import os
import threading
import time
from pathlib import Path

import pytest

from ecd_tune.cost.processor import (
    WATTS_PER_CORE,
    RaplProcessor,
    TdpProcessor,
    find_processor,
)

TICKS = os.sysconf("SC_CLK_TCK")


class Machine:
    """A machine whose clocks and counters a test turns."""

    def __init__(self, folder: Path, packages: int = 1, size: int = 10**9) -> None:
        self.wall = self.cpu = 0.0
        self.stat = folder / "stat"
        self.domains = []
        for index in range(packages):
            domain = folder / "powercap" / f"intel-rapl:{index}"
            (domain / f"intel-rapl:{index}:0").mkdir(parents=True)
            (domain / "name").write_text(f"package-{index}\n")
            (domain / "max_energy_range_uj").write_text(f"{size}\n")
            self.domains.append(domain)
        self.show([0] * packages, busy=0)

    def show(self, microjoules, busy):
        for domain, energy in zip(self.domains, microjoules, strict=True):
            (domain / "energy_uj").write_text(f"{energy}\n")
        # user, system and steal are work; idle and iowait are not; guest stands in user already.
        user, system = round(busy * TICKS * 0.75), round(busy * TICKS * 0.25)
        self.stat.write_text(f"cpu {user} 0 {system} 5000 700 0 0 0 999 0\ncpu0 1 1 1 1\n")

    def rapl(self):
        return RaplProcessor(self.domains, self.stat, lambda: self.cpu, lambda: self.wall)


def test_tdp_is_divided_by_cores_and_charged_by_cpu_time():
    cpu = 0.0
    processor = TdpProcessor(240.0, 60, lambda: cpu)
    cpu = 10.0
    assert processor.joules() == pytest.approx(40.0)  # 4 W a core, 10 core-seconds


def test_workers_on_more_threads_than_cores_are_charged_the_whole_processor_once():
    # 8 processes share 4 cores for 10 s: 40 core-seconds in all.
    each = TdpProcessor(100.0, 4, lambda: 40.0 / 8)
    assert 8 * each.joules() == pytest.approx(100.0 * 10)


def test_cpu_time_of_threads_counts():
    processor = TdpProcessor(1.0, 1)
    before, began = processor.joules(), time.process_time()

    def burn():
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    threads = [threading.Thread(target=burn) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert processor.joules() - before >= 0.1
    assert processor.joules() - before == pytest.approx(time.process_time() - began, abs=0.02)


def test_rapl_is_shared_by_cpu_time(tmp_path):
    machine = Machine(tmp_path, packages=2)
    processor = machine.rapl()
    # 300 J and 100 J in 10 s, of which all processes were busy for 20 core-seconds, this for 5.
    machine.wall, machine.cpu = 10.0, 5.0
    machine.show([300_000_000, 100_000_000], busy=20)
    assert processor.joules() == pytest.approx(100.0)


def test_rapl_counter_wraparound(tmp_path):
    machine = Machine(tmp_path, size=1_000_000)
    machine.show([900_000], busy=0)
    processor = machine.rapl()
    machine.wall, machine.cpu = 5.0, 1.0
    machine.show([100_000], busy=1)
    assert processor.joules() == pytest.approx(0.2)


def test_rapl_is_read_once_a_second_and_no_more(tmp_path):
    machine = Machine(tmp_path)
    processor = machine.rapl()
    machine.wall, machine.cpu = 2.0, 2.0
    machine.show([20_000_000], busy=2)  # 10 J a core-second
    assert processor.joules() == pytest.approx(20.0)
    machine.domains[0].joinpath("energy_uj").unlink()
    machine.wall, machine.cpu = 2.9, 2.5
    assert processor.joules() == pytest.approx(25.0)


def test_vanished_counters_keep_the_last_factor(tmp_path):
    machine = Machine(tmp_path)
    processor = machine.rapl()
    machine.wall, machine.cpu = 2.0, 2.0
    machine.show([20_000_000], busy=2)
    assert processor.joules() == pytest.approx(20.0)
    machine.domains[0].joinpath("energy_uj").unlink()
    machine.wall, machine.cpu = 10.0, 3.0
    assert processor.joules() == pytest.approx(30.0)


def test_polling_reads_in_the_background(tmp_path):
    machine = Machine(tmp_path)
    processor = machine.rapl()
    processor.poll(0.005)
    machine.wall, machine.cpu = 5.0, 1.0
    machine.show([30_000_000], busy=1)
    deadline = time.monotonic() + 100
    while processor._total == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert processor._total == pytest.approx(30.0)


def test_rapl_is_chosen_where_it_can_be_read(tmp_path):
    machine = Machine(tmp_path)
    powercap = tmp_path / "powercap"
    (powercap / "intel-rapl:9").mkdir()
    (powercap / "intel-rapl:9" / "name").write_text("psys\n")  # would count the packages twice
    found = find_processor(powercap=powercap)
    assert found.source == "RAPL"
    assert find_processor(95.0, powercap).source == "TDP"
    machine.domains[0].joinpath("energy_uj").unlink()
    assert find_processor(powercap=powercap).source == "TDP"
    assert find_processor(powercap=tmp_path / "none").source == "TDP"


def test_default_power_per_core_without_tdp():
    assert TdpProcessor(None, 64, lambda: 2.0).joules() == 2 * WATTS_PER_CORE
