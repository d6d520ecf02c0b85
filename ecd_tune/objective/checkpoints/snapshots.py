"""The state of a run as bytes, and back without trusting them.

Written by ``torch.save``, read only with ``weights_only=True``: others may write to the folder, and
reading must not execute their code.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from typing import Any

import torch

from ecd_tune.objective.checkpoints.checkpoint import CheckpointHandle
from ecd_tune.objective.checkpoints.interrupt import Interrupted, Stop

__all__ = ["FORMAT", "Snapshots", "CheckpointTimer"]

_log = logging.getLogger(__name__)

FORMAT = 5
"""Version of the snapshot format; others are not read."""

State = dict[str, Any]


class Snapshots:
    """Keeps the state of one run behind a handle.

    Args:
        handle: Handle to write to.
        run: All that decides how the run goes, as text. Snapshots of other runs are not used.
    """

    def __init__(self, handle: CheckpointHandle, run: str) -> None:
        self._handle, self._run = handle, run
        self._works = True

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self._works and self._handle.due()

    def load(self) -> State | None:
        """Return the state that was saved last.

        Returns:
            None if there is no usable snapshot; the reason is logged.
        """
        data = self._handle.load()
        if data is None:
            return None
        try:
            held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            kind, run, state = held["format"], held["run"], held["state"]
        except Exception as error:
            _log.warning("checkpoint is damaged, restarting the run: %s", _first_line(error))
            return None
        if kind != FORMAT:
            _log.warning(
                "checkpoint has format %s of another version, not %d; restarting the run",
                kind,
                FORMAT,
            )
            return None
        if run != self._run:
            _log.warning("checkpoint belongs to another run; restarting the run")
            return None
        return dict(state)

    def save(self, state: State) -> None:
        """Save a state; a failure is logged once and not retried.

        Args:
            state: Tensors, numbers, strings, and lists and dictionaries of them.
        """
        buffer = io.BytesIO()
        try:
            torch.save({"format": FORMAT, "run": self._run, "state": state}, buffer)
        except Exception:
            # A user's optimizer or problem; the run itself is sound.
            self._works = False
            _log.warning(
                "this run cannot be saved; it continues without checkpoints", exc_info=True
            )
            return
        self._handle.save(buffer.getvalue())


class CheckpointTimer:
    """Looks up from a run before each step: is it time to leave, or to save?

    Args:
        stop: Says whether to leave, or None.
        snapshots: Where to save, or None.
        began: ``time.perf_counter()`` at the start of the run.
    """

    def __init__(self, stop: Stop | None, snapshots: Snapshots | None, began: float) -> None:
        self._stop, self._snapshots = stop, snapshots
        self._began, self._kept = began, 0

    def resume(self, restore: Callable[[State], int]) -> None:
        """Continue from the last snapshot, if there is one.

        Args:
            restore: Takes up a state and returns the number of the next step. Its exceptions count
                as a damaged checkpoint.

        Raises:
            DamagedSnapshotError: The state could not be restored, perhaps only in part: the run
                must be recreated.
        """
        state = None if self._snapshots is None else self._snapshots.load()
        if state is None:
            return
        try:
            seconds = float(state["seconds"])
            self._kept = restore(state["run"])
        except Exception as error:
            raise DamagedSnapshotError(_first_line(error)) from error
        self._began -= seconds
        _log.info("resumed at step %d, after %.1f s of work", self._kept, seconds)

    @property
    def saves(self) -> bool:
        """Whether the run is saved at all."""
        return self._snapshots is not None

    @property
    def seconds(self) -> float:
        """Seconds of work so far, those before an interruption included."""
        return time.perf_counter() - self._began

    def check(self, step: int, state: Callable[[], State]) -> None:
        """Save when it is time to, and leave when asked.

        Args:
            step: Number of the step that would come next.
            state: Returns the state before this step.

        Raises:
            Interrupted: ``stop`` requested it; with snapshots, the state was saved.
        """
        stopped = self._stop is not None and self._stop()
        due = self._snapshots is not None and step > self._kept and self._snapshots.due
        if stopped or due:
            self.save(step, state)
        if stopped:
            raise Interrupted(f"stopped at step {step}")

    def save(self, step: int, state: Callable[[], State]) -> None:
        """Save now, unless that is done.

        Args:
            step: Number of the step that would come next.
            state: Returns the state before this step.
        """
        if self._snapshots is not None and step > self._kept:
            self._snapshots.save({"seconds": self.seconds, "run": state()})
            self._kept = step


class DamagedSnapshotError(Exception):
    """A snapshot that could be read does not fit the run."""


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
