"""Energy of trials: on the processor, and on GPUs with and without a counter."""

import dataclasses
import time

import pytest

from ecd_tune.cost import EnergyMeter
from ecd_tune.cost.gpu import WATTS_PER_GPU, Gpus
from ecd_tune.cost.processor import TdpProcessor
from ecd_tune.records import Outcome, RunCost, Status


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Nvml:
    """The functions of pynvml that are used, on GPUs of a test's making."""

    class NVMLError(Exception):
        pass

    def __init__(self, millijoules, processes=1, counts=True, driver=True):
        self.millijoules, self.processes = millijoules, processes
        self.counts, self.driver = counts, driver

    def nvmlInit(self):
        if not self.driver:
            raise self.NVMLError("no driver")

    def nvmlDeviceGetCount(self):
        return len(self.millijoules)

    def nvmlDeviceGetHandleByIndex(self, index):
        return f"handle-{index}"

    def nvmlDeviceGetUUID(self, handle):
        return handle.replace("handle", "GPU")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if not self.counts:
            raise self.NVMLError("not supported")
        return self.millijoules[int(handle[-1])]

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [object()] * self.processes

    def nvmlDeviceGetPowerManagementDefaultLimit(self, handle):
        return 300_000


def outcome(seconds, device="cpu"):
    return Outcome(Status.COMPLETE, 1.0, cost=RunCost(seconds, device))


def make(clock, nvml=None, tdp_watts=None, kg_per_kwh=0.5, name="Tesla T4"):
    """A meter whose processor takes 10 W of wall time."""
    return EnergyMeter(
        kg_per_kwh,
        tdp_watts,
        processor=TdpProcessor(10.0, 1, clock),
        gpus=Gpus(nvml),
        name_gpu=lambda device: (f"GPU-{device[-1]}", name),
        clock=clock,
    )


def joules(found):
    return [o.cost.energy_kwh * 3.6e6 for o in found]


def test_a_batch_is_charged_by_share_of_its_time():
    clock = Clock()
    meter = make(clock)
    start = meter.start()
    clock.now = 4.0
    given = [outcome(1.0), outcome(3.0)]
    found = meter.charge(given, start)
    assert joules(found) == pytest.approx([10.0, 30.0])
    assert [o.cost.carbon_kg for o in found] == pytest.approx([5 / 3.6e6, 15 / 3.6e6])
    assert {o.cost.energy_source for o in found} == {"TDP"}
    bare = [dataclasses.replace(o, cost=RunCost()) for o in found]
    assert bare == [dataclasses.replace(o, cost=RunCost()) for o in given]


def test_time_between_groups_is_not_charged():
    clock = Clock()
    meter = make(clock)
    meter.charge([outcome(1.0)], meter.start())
    clock.now = 100.0
    start = meter.start()
    clock.now = 101.0
    assert joules(meter.charge([outcome(1.0)], start)) == pytest.approx([10.0])


def test_a_continued_run_is_charged_for_its_earlier_part_too():
    clock = Clock()
    meter = make(clock)
    start = meter.start()
    clock.now = 2.0
    assert joules(meter.charge([outcome(7.0)], start)) == pytest.approx([70.0])


@pytest.mark.parametrize(
    ("hours", "watts", "kg_per_kwh", "printed"),
    [(10638, 250, 0.25, 666.2), (1020, 70, 0.24, 17.14)],
)
def test_the_sums_of_the_paper(hours, watts, kg_per_kwh, printed):
    # B.7 gives the efficiency of the first as "about", and its product is 664.9.
    clock = Clock()
    meter = make(clock, Nvml([0]), watts, kg_per_kwh)
    start = meter.start()
    clock.now = hours * 3600
    cost = meter.charge([outcome(clock.now, "cuda:0")], start)[0].cost
    assert cost.energy_kwh == pytest.approx(hours * watts / 1000)
    assert cost.carbon_kg == pytest.approx(printed, rel=0.0025)
    assert cost.energy_source == "TDP"


class TestGpu:
    def charge(self, nvml, used=None, device="cuda:1", **more):
        clock = Clock()
        meter = make(clock, nvml, **more)
        start = meter.start()
        clock.now = 2.0
        if used:
            nvml.millijoules = used
        return meter.charge([outcome(2.0, device)], start)[0].cost

    def test_gpu_and_processor_energy_add_up(self):
        cost = self.charge(Nvml([10, 500_000]), [99_000, 900_000])
        assert cost.energy_kwh * 3.6e6 == pytest.approx(400 + 20)
        assert cost.energy_source == "NVML + TDP"

    def test_processes_share_it(self):
        cost = self.charge(Nvml([10, 500_000], processes=4), [10, 900_000])
        assert cost.energy_kwh * 3.6e6 == pytest.approx(100 + 20)

    def test_processes_share_the_power_that_a_study_states(self, monkeypatch):
        found = Gpus(Nvml([0, 0], processes=4))
        monkeypatch.setattr(Gpus, "find", classmethod(lambda cls: found))
        clock = Clock()
        meter = EnergyMeter(
            0.5, 250.0, name_gpu=lambda device: (f"GPU-{device[-1]}", ""), clock=clock
        )
        start = meter.start()
        clock.now = 2.0
        cost = meter.charge([outcome(2.0, "cuda:1")], start)[0].cost
        assert cost.energy_kwh * 3.6e6 == pytest.approx(2 * 250 / 4)
        assert cost.energy_source == "TDP"

    def test_gpu_without_counter_uses_its_power_limit(self):
        cost = self.charge(Nvml([0, 0], counts=False))
        assert cost.energy_kwh * 3.6e6 == pytest.approx(2 * 300 + 20)
        assert cost.energy_source == "TDP"

    @pytest.mark.parametrize("nvml", [None, Nvml([0, 0], driver=False)])
    def test_gpu_power_by_name_without_nvml(self, nvml):
        cost = self.charge(nvml)
        assert cost.energy_kwh * 3.6e6 == pytest.approx(2 * 70 + 20)

    def test_a_trial_on_the_processor_is_not_charged_for_gpus(self):
        cost = self.charge(Nvml([0, 0]), [10**6, 10**6], device="cpu")
        assert cost.energy_kwh * 3.6e6 == pytest.approx(20)
        assert cost.energy_source == "TDP"

    @pytest.mark.parametrize(
        ("name", "watts"),
        [
            ("NVIDIA GeForce RTX 2080 Ti", 250),
            ("NVIDIA A100 80GB PCIe", 300),
            ("NVIDIA A100-SXM4-80GB", 400),
            ("Tesla V100-SXM2-16GB", 300),
            ("NVIDIA L4", 72),
            ("NVIDIA L40", WATTS_PER_GPU),
            ("", WATTS_PER_GPU),
        ],
    )
    def test_boards_are_known_by_name(self, name, watts):
        assert Gpus().watts("", name) == watts


def test_a_real_meter_charges_no_more_than_its_cores():
    meter = EnergyMeter(0.475, tdp_watts=100.0)
    start, began = meter.start(), time.process_time()
    wall = time.perf_counter()
    while time.process_time() - began < 0.05:
        pass
    seconds = time.perf_counter() - wall
    cost = meter.charge([outcome(seconds)], start)[0].cost
    assert 0 < cost.energy_kwh * 3.6e6 <= 100.0 * seconds * 1.05
    assert cost.carbon_kg == pytest.approx(cost.energy_kwh * 0.475)
