"""The workers of one batch job or one actor: local processes that share what it was given."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ecd_tune.launch.base import Group, Launch, WorkerView
from ecd_tune.launch.local import LocalWorkers
from ecd_tune.launch.placement import Placement

__all__ = ["GroupRun"]

_POLL_SECONDS = 0.5


@dataclass
class GroupRun:
    """Runs the workers of a group where it is called; can be pickled before.

    The engine has set ``CUDA_VISIBLE_DEVICES`` and the cores, so that nothing is placed here.

    Args:
        launch: All workers; its storage is not used.
        group: Which of them run here.
        folder: Working folder of the submitting process, for relative paths in arguments.
    """

    launch: Launch
    group: Group
    folder: Path = field(default_factory=Path.cwd)
    _pool: LocalWorkers | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pool": None}

    def run(self, storage: str, stop: Callable[[], bool] = lambda: False) -> list[WorkerView]:
        """Run the workers until all have ended.

        Args:
            storage: Storage URL.
            stop: Polled; ends them.

        Returns:
            How they ended.
        """
        with LocalWorkers(
            self.launch.arguments,
            [Placement()] * self.group.workers,
            storage,
            self.launch.logs,
            first=self.group.first,
            max_restarts=self.launch.max_restarts,
            folder=self.folder,
        ) as self._pool:
            while any(view.state.alive for view in self._pool.update()):
                if stop():
                    break
                time.sleep(_POLL_SECONDS)
            else:
                return self._pool.views()
            self.leave()
            return self._pool.views()

    def views(self) -> list[WorkerView]:
        """Return the states of the workers; empty before they are started."""
        return self._pool.views() if self._pool else []

    def leave(self, patience: float = 10.0) -> None:
        """Ask the workers to save their runs and leave; they may have been asked before.

        Args:
            patience: Seconds until they are killed.
        """
        if self._pool is not None:
            self._pool.stop(patience, signal.SIGUSR2)
