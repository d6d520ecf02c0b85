"""Interfaces of a run for checkpoints and callbacks; no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Callbacks", "Prune", "Report", "CheckpointHandle", "OnStep"]

Prune = Callable[[int], str | None]
"""``prune(row)``: asked after each report of a request in the search; a reason ends its run."""

Report = Callable[[int, int, float], None]
"""``report(row, step, value)``: the metric of one request after one epoch, as it comes."""

OnStep = Callable[[int, int, int], None]
"""``on_step(row, step, steps)``: so many steps of one request are done; at every step, so quick."""


@dataclass(frozen=True)
class Callbacks:
    """Who follows one run.

    Attributes:
        report: Called with epoch and metric after each evaluated epoch.
        prune: Asked after each report whether to end here: a reason, or None.
        on_step: Called with the number of steps done and of all before each step.
    """

    report: Callable[[int, float], None] = lambda epoch, value: None
    prune: Callable[[], str | None] = lambda: None
    on_step: Callable[[int, int], None] = lambda step, steps: None


class CheckpointHandle(Protocol):
    """A place for the checkpoint of one run.

    No method raises where space or a connection is missing: a run continues without checkpoints.
    """

    def load(self) -> bytes | None:
        """Return what was saved last, or None."""
        ...

    def save(self, data: bytes) -> None:
        """Replace what was saved; after a crash half-way the former is still there.

        Args:
            data: The checkpoint.
        """
        ...

    def due(self) -> bool:
        """Return whether it is time to save: asked at every step, so it must be quick."""
        ...

    def part(self, name: str) -> CheckpointHandle:
        """Return a separate handle for another part of the same run.

        Args:
            name: Names the piece; the next attempt finds it by that.
        """
        ...

    def clear(self) -> None:
        """Remove what was saved here, if anything was."""
        ...
