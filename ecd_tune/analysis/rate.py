"""The rate of a study and its remaining time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["Counted", "RateMeter", "describe_rate", "format_rate", "format_time"]

_WINDOW_SECONDS = 60.0


class Counted(Protocol):
    """Counts of a study key; :class:`ecd_tune.store.Progress` is one."""

    @property
    def finished(self) -> int:
        """Trials that count against the budget."""

    @property
    def remaining(self) -> int:
        """Trials that are not finished yet."""


class RateMeter:
    """Measures rates of studies over the last minute.

    Args:
        clock: Seconds; tests replace it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def add(self, name: str, progress: Sequence[Counted]) -> dict[str, float | None]:
        """Add the newest counts of a study.

        Args:
            name: Of the study.
            progress: One entry per study key.

        Returns:
            ``finished`` and ``remaining`` trials, ``per_second``, and ``seconds_left``, the last
            two None where nothing has finished while it was watched. Later runs of a confirmation
            are not in ``remaining``.
        """
        now, finished = self._clock(), sum(entry.finished for entry in progress)
        seen = self._seen.setdefault(name, deque())
        seen.append((now, finished))
        while len(seen) > 2 and seen[1][0] <= now - _WINDOW_SECONDS:
            seen.popleft()
        since, before = seen[0]
        rate = (finished - before) / (now - since) if finished > before else None
        remaining = sum(entry.remaining for entry in progress)
        return {
            "finished": finished,
            "remaining": remaining,
            "per_second": rate,
            "seconds_left": remaining / rate if rate else None,
        }


def describe_rate(rate: dict[str, float | None]) -> str:
    """Describe the rate of a study in one line.

    Args:
        rate: The result of :meth:`RateMeter.add`.
    """
    parts = [f"{rate['finished']} finished, {rate['remaining']} remaining"]
    if rate["per_second"] is not None and rate["seconds_left"] is not None:
        parts.append(
            f"{format_rate(rate['per_second'])}, about {format_time(rate['seconds_left'])} left"
        )
    elif rate["remaining"]:
        parts.append("none finished while watching")
    return ", ".join(parts)


def format_time(seconds: float) -> str:
    """Format a duration, for example ``"40 s"``, ``"12 min"`` or ``"3.5 h"``.

    Args:
        seconds: The duration.
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def format_rate(per_second: float) -> str:
    """Write a rate in the unit in which it has a digit, for example ``"2.0/s"`` or ``"1.5/min"``.

    Args:
        per_second: Events per second.
    """
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.1f}/{unit}"
    return f"{per_second * 3600:.1f}/h"
