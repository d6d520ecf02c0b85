"""Messages when a signal ends a command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["ending_on_sigterm", "say_ending", "say_stopping"]


def say_stopping(number: signal.Signals) -> None:
    """Say that a command ends as soon as its trials can be saved.

    Args:
        number: The signal.
    """
    _say(f"{number.name}: stopping; running trials are re-queued. A second signal ends at once")


def say_ending(number: signal.Signals) -> None:
    """Report the end of a command that has no running trials.

    Args:
        number: The signal that came.
    """
    _say(f"ecd-tune: ended by {number.name}")


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """End on SIGTERM with one line on standard error, where no :class:`StopFlag` takes it.

    While a command imports, reads or writes its report there is nothing to be saved.

    Yields:
        Nothing.
    """
    former = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _end(number: int, frame: FrameType | None) -> None:
    _say(f"ecd-tune: ended by {signal.Signals(number).name}; all written files are complete")
    sys.exit(128 + number)


def _say(line: str) -> None:
    # Not print(): a signal may come while that very stream is being written.
    with suppress(OSError):
        os.write(2, f"\n{line}\n".encode())
