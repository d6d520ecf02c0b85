"""Training speed and memory of a run."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import torch

from ecd_tune.objective.training.stepping import Stepper

__all__ = ["SPEED_METRICS", "Clock", "Speed"]

Clock = Callable[[], float]
"""Seconds of work, from some moment on."""

SPEED_METRICS = ("examples_per_second", "peak_memory_mib")
"""Names of the metrics of :meth:`Speed.metrics`: they describe the machine, not the run."""

_MIB = 2**20


class Speed:
    """Counts examples and seconds of the training steps, without the evaluations between them.

    Args:
        stepper: Makes the steps.
        clock: Seconds.
    """

    def __init__(self, stepper: Stepper, clock: Clock = time.perf_counter) -> None:
        self._stepper, self._device = stepper, torch.device(stepper.device)
        self._clock = clock
        self._examples, self._seconds = 0, 0.0
        self._began, self._number = 0.0, 0
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def begin(self) -> None:
        """Count from here on."""
        self._began, self._number = self._clock(), self._stepper.number

    def pause(self) -> None:
        """Stop counting, at the end of an epoch, when no step is under way."""
        self._seconds += self._clock() - self._began
        batches = self._stepper.batches
        steps = range(self._number, self._stepper.number)
        self._examples += sum(batches.examples(step) for step in steps)

    def metrics(self) -> dict[str, float]:
        """Return the speed of this process's part of the run, and the largest memory.

        Returns:
            ``examples_per_second`` (batches, where a problem does not count examples), after
            one epoch at least; ``peak_memory_mib``: on a GPU what torch has allocated there
            during the run, else the most that the process has had so far.
        """
        found = {"peak_memory_mib": self._peak() / _MIB}
        if self._examples and self._seconds > 0:
            found["examples_per_second"] = self._examples / self._seconds
        return found

    def _peak(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
