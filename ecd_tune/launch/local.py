"""Worker processes on this machine.

A worker is the command ``ecd-tune worker``, never a function call: what runs here by hand is
what a batch system runs elsewhere. The storage URL travels in the environment, so that a
password in it does not show in the process list.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

__all__ = ["LocalWorkers", "WorkerFailure"]

_TAIL_LINES = 15


@dataclass(frozen=True)
class WorkerFailure:
    """A worker that ended with an error.

    Attributes:
        index: Which worker, from 0.
        status: Its exit status; negative when a signal ended it.
        log: Its log file.
        tail: The last lines of the log.
    """

    index: int
    status: int
    log: Path
    tail: str


class LocalWorkers:
    """A set of ``ecd-tune worker`` processes, each with a log file.

    A context manager: leaving the block stops what still runs.

    Args:
        arguments: Arguments after ``ecd-tune worker``, the same for all.
        count: Number of processes, at least 1.
        storage: Storage URL, handed over in ``ECD_TUNE_STORAGE``.
        logs: Folder of the log files ``worker-0.log`` …; made when missing.
    """

    def __init__(self, arguments: Sequence[str], count: int, storage: str, logs: Path) -> None:
        self._arguments, self._count, self._storage, self._logs = arguments, count, storage, logs
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> LocalWorkers:
        self._logs.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "ECD_TUNE_STORAGE": self._storage,
            # One thread each: the trials are small, and cores are what the workers share.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        command = [sys.executable, "-m", "ecd_tune", "worker", "--follow-stdin", *self._arguments]
        for index in range(self._count):
            with self.log(index).open("wb") as log:
                self._processes.append(
                    subprocess.Popen(
                        command,
                        # Never written to: its end tells the worker that we are gone.
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=environment,
                        # Not in the terminal's group: Ctrl-C comes from the parent, once.
                        start_new_session=True,
                    )
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def log(self, index: int) -> Path:
        """Return the log file of worker ``index``."""
        return self._logs / f"worker-{index}.log"

    def running(self) -> int:
        """Return how many workers have not ended yet."""
        return sum(process.poll() is None for process in self._processes)

    def failures(self) -> list[WorkerFailure]:
        """Return the workers that ended with an error so far."""
        return [
            WorkerFailure(index, status, self.log(index), _tail(self.log(index)))
            for index, process in enumerate(self._processes)
            if (status := process.poll()) not in (None, 0)
        ]

    def stop(self, patience: float = 10.0) -> None:
        """Ask all workers to leave; after ``patience`` seconds make them.

        Args:
            patience: Seconds to wait between SIGTERM and SIGKILL.
        """
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + patience
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None  # a pipe was asked for
            process.stdin.close()


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])
