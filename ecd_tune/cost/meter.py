"""Charge trials with the energy of the time in which they ran.

The counters are read once before and once after a group of trials, however many they are; a
trial's share is the group's mean power × its own wall time. So a batch of a hundred trials of a
millisecond costs two readings, and a run that continued from a checkpoint is charged for its
earlier part too, at the power of the later one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ecd_tune.cost.gpu import Gpus, name_gpu
from ecd_tune.cost.processor import Processor, find_processor
from ecd_tune.records import Outcome

__all__ = ["EnergyMeter", "MeterReading"]

_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class MeterReading:
    """Readings of the counters before a group of trials.

    Attributes:
        wall: Clock, in seconds.
        processor: Energy of this process, in joules.
        gpus: Energy of each GPU, in joules, by UUID.
    """

    wall: float
    processor: float
    gpus: Mapping[str, float]


class EnergyMeter:
    """Counts the energy and the carbon of the trials of one process.

    Args:
        kg_per_kwh: Carbon intensity, in kg of CO₂ equivalent per kWh.
        tdp_watts: Power of the device that trials run on (a GPU, or all of the machine's
            processor). Then no energy is measured and nothing else counted, as in the paper.
        processor: How the processor is counted; found by default.
        gpus: How GPUs are counted; found by default.
        name_gpu: Device to UUID and name; tests replace it.
        clock: Seconds; tests replace it.
    """

    def __init__(
        self,
        kg_per_kwh: float,
        tdp_watts: float | None = None,
        *,
        processor: Processor | None = None,
        gpus: Gpus | None = None,
        name_gpu: Callable[[str], tuple[str, str]] = name_gpu,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._kg_per_kwh, self._tdp_watts = kg_per_kwh, tdp_watts
        self._processor = processor or find_processor(tdp_watts)
        self._gpus = gpus or Gpus.find()
        self._name_gpu, self._clock = name_gpu, clock

    def start(self) -> MeterReading:
        """Read the counters, just before a group of trials.

        Returns:
            The readings for :meth:`charge`.
        """
        return MeterReading(self._clock(), self._processor.joules(), self._gpus.joules())

    def charge(self, outcomes: Sequence[Outcome], start: MeterReading) -> list[Outcome]:
        """Write energy and carbon into the outcomes of a group, which has just ended.

        Args:
            outcomes: All that ran since ``start``, on one device.
            start: Readings before the group.

        Returns:
            The outcomes with their cost completed, in their order.
        """
        wall = self._clock() - start.wall
        if wall <= 0:
            return list(outcomes)
        # The device of a trial that failed early may be unknown.
        devices = [o.cost.device for o in outcomes if o.cost.device.startswith("cuda")]
        joules, source = self._used(start, wall, devices[0] if devices else "")
        watts = joules / wall
        return [self._priced(outcome, watts, source) for outcome in outcomes]

    def _priced(self, outcome: Outcome, watts: float, source: str) -> Outcome:
        energy = watts * outcome.cost.seconds / _JOULES_PER_KWH
        carbon = energy * self._kg_per_kwh
        cost = replace(outcome.cost, energy_kwh=energy, energy_source=source, carbon_kg=carbon)
        return replace(outcome, cost=cost)

    def _used(self, start: MeterReading, wall: float, gpu: str) -> tuple[float, str]:
        processor, source = self._processor.joules() - start.processor, self._processor.source
        if not gpu:
            return processor, source
        uuid, name = self._name_gpu(gpu)
        # Workers that share a GPU share its power, because there is no counter for each.
        sharers = self._gpus.sharers(uuid)
        if self._tdp_watts is not None:
            return self._tdp_watts * wall / sharers, "TDP"
        before, after = start.gpus.get(uuid), self._gpus.joules().get(uuid)
        if before is None or after is None:
            watts, gpu_source = self._gpus.watts(uuid, name), "TDP"
            joules = watts * wall
        else:
            joules, gpu_source = after - before, "NVML"
        sources = gpu_source if gpu_source == source else f"{gpu_source} + {source}"
        return joules / sharers + processor, sources
