"""A progress bar for the current run of a worker."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from typing import TextIO

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecd_tune.records import Lease, Stage

__all__ = ["RunBar", "make_bar"]

_INTERVAL = 0.1
_STAGES = {Stage.SEARCH: "", Stage.SELECT: " selection", Stage.CONFIRM: " confirmation"}


class RunBar(AbstractContextManager["RunBar"]):
    """Shows how many steps of the present run are done; log lines go above it.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=stream)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("", visible=False)
        self._shown: int | None = None
        self._due = 0.0

    def handler(self) -> logging.Handler:
        """Return a handler for log lines that does not break the bar."""
        plain = NullHighlighter()
        return RichHandler(console=self.console, show_path=False, markup=False, highlighter=plain)

    def step(self, lease: Lease, done: int, steps: int) -> None:
        """Show a step; most calls return at once.

        Args:
            lease: The run.
            done: Steps that are done.
            steps: All of them.
        """
        now = time.monotonic()
        if lease.trial_id != self._shown:
            stage = _STAGES[lease.key.stage]
            name = f"{lease.key.optimizer}{stage} #{lease.number}"
            self._progress.reset(self._task, total=steps, description=name, visible=True)
            self._shown, self._due = lease.trial_id, now
        if now >= self._due:
            self._progress.update(self._task, completed=done)
            self._due = now + _INTERVAL

    def __enter__(self) -> RunBar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()


def make_bar(stream: TextIO) -> RunBar | None:
    """Return a bar for a terminal, and None for a file or a pipe.

    Args:
        stream: Where messages go, usually standard error.
    """
    return RunBar(stream) if stream.isatty() else None
