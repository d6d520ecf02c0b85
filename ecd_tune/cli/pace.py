"""How fast a study goes and how long it will take, and showing it again and again."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ecd_tune.store import Progress

__all__ = ["Pace", "describe_pace", "format_time", "show_repeatedly"]

_WINDOW_SECONDS = 60.0


class Pace:
    """Measures rates of studies over the last minute.

    Args:
        clock: Seconds; tests replace it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def add(self, name: str, progress: Sequence[Progress]) -> dict[str, float | None]:
        """Take the newest counts of a study.

        Args:
            name: Of the study.
            progress: One entry a study key.

        Returns:
            ``finished`` and ``remaining`` trials, ``per_second``, and ``seconds_left``, the last
            two None where nothing has finished while it was watched. What a confirmation will
            queue later is not in ``remaining``.
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


def describe_pace(name: str, pace: dict[str, float | None]) -> str:
    """Say in one line how fast a study goes.

    Args:
        name: Of the study.
        pace: What :meth:`Pace.add` returned.
    """
    parts = [f"{name}: {pace['finished']} finished, {pace['remaining']} remaining"]
    if pace["per_second"] is not None and pace["seconds_left"] is not None:
        parts.append(f"{_rate(pace['per_second'])}, about {format_time(pace['seconds_left'])} left")
    elif pace["remaining"]:
        parts.append("none finished while watching")
    return ", ".join(parts)


def format_time(seconds: float) -> str:
    """Write a duration as people say it, for example ``"40 s"``, ``"12 min"`` or ``"3.5 h"``.

    Args:
        seconds: How long.
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{per_second * 60:.1f}/min"


def show_repeatedly(look: Callable[[], str], interval: float) -> None:
    """Print a text again and again until Ctrl-C: in place on a terminal, else one after another.

    Args:
        look: Makes the text.
        interval: Seconds between two looks.
    """
    try:
        if not sys.stdout.isatty():
            while True:
                typer.echo(look() + "\n")
                time.sleep(interval)
        from rich.live import Live
        from rich.text import Text

        with Live(auto_refresh=False, vertical_overflow="visible") as live:
            while True:
                live.update(Text(look(), no_wrap=True), refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        return
