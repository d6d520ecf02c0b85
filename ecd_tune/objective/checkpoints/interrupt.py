"""Leave an evaluation early."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Interrupted", "Stop", "check_stop"]

Stop = Callable[[], bool]
"""Polled during an evaluation; True asks it to end."""

_POLL_STEPS = 16


class Interrupted(Exception):
    """An evaluation was asked to end before it was done; there is no outcome."""


def check_stop(stop: Stop | None, step: int) -> None:
    """Poll ``stop`` at every sixteenth step.

    Args:
        stop: The stop signal to poll, or None.
        step: Number of the step, from 0.

    Raises:
        Interrupted: ``stop`` requested it.
    """
    if stop is not None and step % _POLL_STEPS == 0 and stop():
        raise Interrupted(f"stopped at step {step}")
