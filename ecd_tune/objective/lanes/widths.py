"""Number of trials to train at once, limited by memory and speed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

import torch

from ecd_tune.objective.outcomes import cause_of
from ecd_tune.objective.training.speed import Clock
from ecd_tune.records import Cause
from ecd_tune.tasks import Problem, StackedProblem

__all__ = ["choose_width"]

_log = logging.getLogger(__name__)

_FACTOR = 4
"""Between two widths that are tried."""
_ENOUGH = 0.9
"""Of the best rate that was measured: the smallest width that reaches it is chosen, since a sampler
knows the more, the fewer trials it proposes at once."""
_REPEATS, _SECONDS = 5, 0.25
"""Steps of a width that are timed, but none begins after so many seconds."""
_COPIES = 8
"""Memory of a trial in units of its parameters: gradients, optimizer, best epoch, activations."""
_MEMORY_SHARE = 0.5
"""Of a GPU's free memory, or of the machine's, that all trials of a worker may take."""


def choose_width(
    build: Callable[[int], Problem],
    stack: Callable[[Sequence[Problem]], StackedProblem],
    bound: int,
    clock: Clock = time.perf_counter,
) -> int:
    """Measure steps of some widths, and choose one.

    The widths 1 (a single problem), 4, 16 and so on, and the bound are tried, until one does not
    fit into memory or makes fewer steps per second than an earlier one.

    Args:
        build: Makes the problem of a seed.
        stack: Lets problems compute together.
        bound: Largest width.
        clock: Seconds.

    Returns:
        From 1 to ``bound``: the smallest of those tried whose rate is nearly the best one.
    """
    rates: dict[int, float] = {}
    for width in _candidates(bound):
        try:
            problems = [build(0)]
            if width > 1 and width * _size(problems[0]) > _free_memory(problems[0]):
                break
            problems += [build(seed) for seed in range(1, width)]
            rates[width] = width / _seconds_of_a_step(problems, stack, clock)
        except Exception as error:
            if cause_of(error) is not Cause.OUT_OF_MEMORY or width == 1:
                raise
            break
        if rates[width] < max(rates.values()):
            break
    best = max(rates.values())
    chosen = min(width for width, rate in rates.items() if rate >= _ENOUGH * best)
    told = ", ".join(f"{width}: {rate:.3g}" for width, rate in rates.items())
    _log.info("%d trials at once; steps per second by number of trials: %s", chosen, told)
    return chosen


def _candidates(bound: int) -> list[int]:
    widths, width = [], 1
    while width < bound:
        widths.append(width)
        width *= _FACTOR
    return [*widths, bound]


def _seconds_of_a_step(
    problems: list[Problem], stack: Callable[[Sequence[Problem]], StackedProblem], clock: Clock
) -> float:
    if len(problems) == 1:
        closure: Callable[[], object] = lambda: problems[0].closure(0)  # noqa: E731
    else:
        together = stack(problems)
        closure = lambda: together.closure([0] * len(problems))  # noqa: E731
    device = problems[0].parameters[0].device
    closure()  # the first one allocates, and may compile
    times: list[float] = []
    begin = clock()
    while not times or (len(times) < _REPEATS and clock() - begin < _SECONDS):
        began = clock()
        closure()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - began)
    return min(times)


def _size(problem: Problem) -> int:
    """Return the bytes that a trial needs for what grows with its parameters."""
    return _COPIES * sum(p.numel() * p.element_size() for p in problem.parameters)


def _free_memory(problem: Problem) -> float:
    """Return the bytes that all trials may take."""
    device = problem.parameters[0].device
    if device.type == "cuda":
        return _MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]
    return _MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
