"""A place for checkpoints that lasts as long as a test."""

from __future__ import annotations

from collections.abc import Iterable


class MemoryCheckpoint:
    """A whole :class:`ecd_tune.objective.checkpoints.checkpoint.CheckpointHandle` in memory.

    Args:
        due: Before which steps it is time to save, the first being 1.

    Attributes:
        data: What was saved last, or None.
        saves: How often something was saved.
        parts: The places of further pieces, by name.
    """

    def __init__(self, due: Iterable[int] = ()) -> None:
        self.data: bytes | None = None
        self.saves, self._due, self._asked = 0, set(due), 0
        self.parts: dict[str, MemoryCheckpoint] = {}

    def load(self) -> bytes | None:
        """Return what was saved last, or None."""
        return self.data

    def save(self, data: bytes) -> None:
        """Replace what was saved."""
        self.data, self.saves = data, self.saves + 1

    def due(self) -> bool:
        """Say whether the step that follows is one of those named."""
        self._asked += 1
        return self._asked in self._due

    def part(self, name: str) -> MemoryCheckpoint:
        """Return the place of a further piece."""
        return self.parts.setdefault(name, MemoryCheckpoint())

    def clear(self) -> None:
        """Remove what was saved here."""
        self.data = None
