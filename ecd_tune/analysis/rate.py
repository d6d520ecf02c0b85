"""The rate of a study and its remaining time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from ecd_tune.records import Stage, StudyKey

__all__ = ["Counted", "RateMeter", "describe_rate", "format_rate", "format_time", "runs_to_come"]

_WINDOW_SECONDS = 60.0
_WINDOW_RUNS = 10


class Counted(Protocol):
    """Counts of a study key; :class:`ecd_tune.store.Progress` is one."""

    @property
    def key(self) -> StudyKey:
        """The study, optimizer and stage."""

    @property
    def complete(self) -> int:
        """Trials with a value."""

    @property
    def finished(self) -> int:
        """Trials that count against the budget."""

    @property
    def running(self) -> int:
        """Trials under a lease."""

    @property
    def remaining(self) -> int:
        """Trials that are not finished yet; of a selection or confirmation those queued."""

    @property
    def target(self) -> int | None:
        """Trials that the stage is to have; None where that is not known."""


def runs_to_come(progress: Sequence[Counted]) -> list[int]:
    """Count the runs to come, including those of stages that are not queued yet.

    All runs of a selection or confirmation are queued at once when the stages before it have ended;
    before, the planned number is an estimate: there may be nothing to select or to confirm.

    Args:
        progress: One entry per key of one study.

    Returns:
        One number per entry.
    """
    return [_to_come(entry, progress) for entry in progress]


def _to_come(entry: Counted, progress: Sequence[Counted]) -> int:
    key, stages = entry.key, list(Stage)
    own = sorted(
        (other for other in progress if other.key.optimizer == key.optimizer),
        key=lambda other: stages.index(other.key.stage),
    )
    place = own.index(entry)
    begun = any(other.finished + other.remaining for other in own[place:])
    if key.stage is Stage.SEARCH or entry.target is None:
        return entry.remaining
    waits = any(other.remaining for other in own[:place])
    # A selection needs two trials to select from, a confirmation one to confirm.
    found = own[0].complete > (key.stage is Stage.SELECT)
    if waits or (found and not begun):
        return max(entry.remaining, entry.target - entry.finished)
    return entry.remaining


class RateMeter:
    """Measures the rates of studies from their most recent runs.

    A rate is that of the last minute, or of the last ten runs if they took longer.

    Args:
        clock: Seconds; tests replace it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, deque[tuple[float, int]]] = {}
        self._began: set[str] = set()

    def add(self, name: str, progress: Sequence[Counted]) -> dict[str, float | None]:
        """Add the newest counts of a study.

        Args:
            name: Of the study.
            progress: One entry per study key.

        Returns:
            ``finished`` and ``remaining`` trials of all stages, ``per_second``, and
            ``seconds_left``, the last two None where nothing has finished while it was watched.
        """
        now, finished = self._clock(), sum(entry.finished for entry in progress)
        seen = self._seen.setdefault(name, deque())
        if len(seen) == 1 and seen[0][1] == finished and name not in self._began:
            seen.clear()  # workers are still starting
        if any(entry.running for entry in progress):
            self._began.add(name)
        seen.append((now, finished))
        while len(seen) > 2 and (
            seen[1][0] <= now - _WINDOW_SECONDS and seen[1][1] <= finished - _WINDOW_RUNS
        ):
            seen.popleft()
        since, before = seen[0]
        rate = (finished - before) / (now - since) if finished > before else None
        remaining = sum(runs_to_come(progress))
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
