"""What a run needs from outside to be continued and to be watched; knows no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Prune", "Report", "Slot"]

Prune = Callable[[int], str | None]
"""``prune(row)``: asked after each report of a request in the search; a reason ends its run."""

Report = Callable[[int, int, float], None]
"""``report(row, step, value)``: the metric of one request after one epoch, as it comes."""


class Slot(Protocol):
    """A place for the checkpoint of one run.

    No method raises for want of space or of a connection: a run goes on without checkpoints.
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
        """Say whether it is time to save: asked at every step, so it must be quick."""
        ...
