"""Energy that this process has used of the processor: its CPU time × the energy of a core-second.

CPU time is summed over threads, so that workers which share a machine also share its power: with
as many busy threads as cores all of them together are charged the whole processor, and no more
when there are more threads than cores.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["WATTS_PER_CORE", "Processor", "RaplProcessor", "TdpProcessor", "find_processor"]

WATTS_PER_CORE = 4.0
"""Where no TDP is given: about that of a server's processor divided by its cores."""

_POWERCAP = Path("/sys/class/powercap")
_STAT = Path("/proc/stat")
_RENEW_SECONDS = 1.0
_POLL_SECONDS = 60.0


class Processor(Protocol):
    """Counts the energy of this process.

    Attributes:
        source: ``"RAPL"`` where it is measured, ``"TDP"`` where it is estimated.
    """

    source: str

    def joules(self) -> float:
        """Return the energy used so far, in joules; it only grows."""


class TdpProcessor:
    """Estimates: CPU time × thermal design power ÷ cores.

    Args:
        watts: TDP of all of the machine's processor; None takes :data:`WATTS_PER_CORE` a core.
        cores: Logical cores that share it; those that the system shows by default.
        cpu_seconds: CPU time of this process; tests replace it.
    """

    source = "TDP"

    def __init__(
        self,
        watts: float | None = None,
        cores: int | None = None,
        cpu_seconds: Callable[[], float] = time.process_time,
    ) -> None:
        cores = cores or os.cpu_count() or 1
        self._per_core = WATTS_PER_CORE if watts is None else watts / cores
        self._cpu_seconds = cpu_seconds

    def joules(self) -> float:
        """Return the energy used so far, in joules."""
        return self._cpu_seconds() * self._per_core


@dataclass(frozen=True)
class _Sample:
    """Readings of the machine at one moment.

    Attributes:
        wall: Clock, in seconds.
        energy: Counter of each domain, in µJ.
        busy: CPU seconds of all processes since boot.
    """

    wall: float
    energy: tuple[int, ...]
    busy: float


class RaplProcessor:
    """Measures: CPU time × (energy of the packages ÷ CPU time of all processes).

    The factor is renewed at most once a second, so that trials of a millisecond pay for no
    reading of files; the machine's idle power falls on the processes that compute.

    Args:
        domains: Folders of the packages in ``/sys/class/powercap``.
        stat: The system's counters of busy and idle time.
        cpu_seconds: CPU time of this process; tests replace it.
        clock: Seconds; tests replace it.
    """

    source = "RAPL"

    def __init__(
        self,
        domains: Sequence[Path],
        stat: Path = _STAT,
        cpu_seconds: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = [domain / "energy_uj" for domain in domains]
        # The counters begin again at 0 after this.
        self._ranges = [int((domain / "max_energy_range_uj").read_text()) for domain in domains]
        self._stat, self._cpu_seconds, self._clock = stat, cpu_seconds, clock
        self._lock = threading.Lock()
        self._rate, self._total = WATTS_PER_CORE, 0.0
        self._cpu, self._sample = cpu_seconds(), self._read()

    def joules(self) -> float:
        """Return the energy used so far, in joules."""
        with self._lock:
            if self._clock() - self._sample.wall >= _RENEW_SECONDS:
                self._renew()
            cpu = self._cpu_seconds()
            self._total += (cpu - self._cpu) * self._rate
            self._cpu = cpu
            return self._total

    def poll(self, seconds: float = _POLL_SECONDS) -> None:
        """Also read in the background, because a counter wraps within half an hour.

        Args:
            seconds: Pause between two readings.
        """

        def beat() -> None:
            while True:
                time.sleep(seconds)
                self.joules()

        threading.Thread(target=beat, name="rapl", daemon=True).start()

    def _renew(self) -> None:
        try:
            now = self._read()
        except (OSError, ValueError):
            return  # a trial must not fail because of this; keep the last factor
        used = sum(
            (new - old) % size
            for new, old, size in zip(now.energy, self._sample.energy, self._ranges, strict=True)
        )
        busy = now.busy - self._sample.busy
        if busy > 0:
            self._rate = used / 1e6 / busy
        self._sample = now

    def _read(self) -> _Sample:
        energy = tuple(int(counter.read_text()) for counter in self._counters)
        return _Sample(self._clock(), energy, _busy_seconds(self._stat))


def find_processor(watts: float | None = None, powercap: Path = _POWERCAP) -> Processor:
    """Choose how the processor is counted.

    Args:
        watts: TDP as the study file gives it; then nothing is measured.
        powercap: Where Linux shows RAPL; tests replace it.

    Returns:
        RAPL where it can be read, which since 2020 takes the administrator's leave; else TDP.
    """
    if watts is not None:
        return TdpProcessor(watts)
    # Subzones (cores, graphics, memory) have a second colon and are part of their package.
    domains = [path for path in sorted(powercap.glob("intel-rapl:*")) if path.name.count(":") == 1]
    packages = [path for path in domains if _name(path).startswith("package")]
    try:
        rapl = RaplProcessor(packages) if packages else None
    except (OSError, ValueError):
        rapl = None
    if rapl is None:
        return TdpProcessor()
    rapl.poll()
    return rapl


def _name(domain: Path) -> str:
    try:
        return (domain / "name").read_text()
    except OSError:
        return ""


def _busy_seconds(stat: Path) -> float:
    with stat.open() as lines:
        fields = [int(field) for field in next(lines).split()[1:9]]
    # user nice system idle iowait irq softirq steal; a guest's time is part of user's.
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
