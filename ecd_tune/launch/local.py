"""Worker processes on this machine.

A worker is the command ``ecd-tune worker``, never a function call: the same command runs manually
and in a batch system. The storage URL travels in the environment, so that a password in it does not
show in the process list.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ecd_tune.launch.base import Launch, Launcher, WorkerState, WorkerView, log_path
from ecd_tune.launch.placement import Placement, find_gpus, plan_placements, usable_cores
from ecd_tune.signals import HUNG_STATUS

__all__ = ["LocalLauncher", "LocalWorkers", "describe_end"]

_FINAL = (0, 2, 3)
"""Exit statuses after which a restart is useless: complete, a user error, gave up."""


@dataclass
class _Slot:
    """One worker's place: the process in it may change.

    Attributes:
        placement: GPUs and cores.
        log: Log file of all its processes.
        process: The present or last process.
        restarts: Starts after the first.
        reason: How the last process ended.
        due: When to start again, on the launcher's clock; None when not waiting.
        counted: Whether that start counts as a restart.
    """

    placement: Placement
    log: Path
    process: subprocess.Popen[bytes]
    restarts: int = 0
    reason: str = ""
    due: float | None = None
    counted: bool = True
    closed: bool = field(default=False)

    @property
    def state(self) -> WorkerState:
        """Known details of the worker."""
        if self.due is not None:
            return WorkerState.WAITING
        status = self.process.poll()
        if status is None:
            return WorkerState.RUNNING
        return WorkerState.ENDED if status == 0 or self.closed else WorkerState.FAILED


class LocalWorkers:
    """A set of ``ecd-tune worker`` processes, each with its own log file and placement.

    A context manager: leaving the block stops what still runs. A worker that dies is started
    again after a pause that doubles each time, up to a limit.

    Args:
        arguments: Arguments after ``ecd-tune worker``, the same for all.
        placements: One a worker: its GPUs and cores.
        storage: Storage URL, passed in ``ECD_TUNE_STORAGE``.
        logs: Folder of the log files ``worker-0.log`` …; made when missing.
        first: Index of the first worker, where others are elsewhere.
        max_restarts: Starts of one worker after its first.
        pause: Seconds before the first restart.
        folder: Working folder of the workers; the present one by default.
        clock: Seconds; tests replace it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        placements: Sequence[Placement],
        storage: str,
        logs: Path,
        *,
        first: int = 0,
        max_restarts: int = 5,
        pause: float = 1.0,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = [
            sys.executable, "-m", "ecd_tune", "worker", "--follow-stdin", *arguments
        ]  # fmt: skip
        self._placements, self._storage, self._logs = placements, storage, logs
        self._first, self._folder = first, folder
        self._max_restarts, self._pause, self._clock = max_restarts, pause, clock
        self._slots: list[_Slot] = []

    def __enter__(self) -> LocalWorkers:
        self._logs.mkdir(parents=True, exist_ok=True)
        for index, placement in enumerate(self._placements, self._first):
            log = log_path(self._logs, index)
            self._slots.append(_Slot(placement, log, self._start(placement, log)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def update(self) -> list[WorkerView]:
        """Restart dead workers whose pause is over, and return the states of all.

        Call it every second or so.

        Returns:
            One view per worker, by index.
        """
        for slot in self._slots:
            self._update_slot(slot)
        return self.views()

    def views(self) -> list[WorkerView]:
        """Return the states of all workers without changes."""
        return [
            WorkerView(
                index,
                slot.process.pid,
                slot.state,
                slot.restarts,
                slot.reason,
                slot.placement,
                slot.log,
            )
            for index, slot in enumerate(self._slots, self._first)
        ]

    def stop(self, patience: float = 10.0, request: signal.Signals = signal.SIGTERM) -> None:
        """Ask all workers to leave; after ``patience`` seconds make them.

        Args:
            patience: Seconds to wait between the request and SIGKILL.
            request: The signal that asks. A second SIGTERM ends a worker at once; SIGUSR2 may
                follow what a batch system has sent already.
        """
        for slot in self._slots:
            slot.due = None
            if slot.process.poll() is None:
                slot.closed = True
                slot.process.send_signal(request)
        deadline = time.monotonic() + patience
        for slot in self._slots:
            try:
                slot.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                slot.process.kill()
                slot.process.wait()
                slot.reason = describe_end(-signal.SIGKILL)
            _close_pipe(slot.process)

    def _start(self, placement: Placement, log: Path) -> subprocess.Popen[bytes]:
        environment = {
            # One thread where nothing is pinned: trials are small, cores are what workers share.
            "OMP_NUM_THREADS": "1",
            **os.environ,
            **placement.environment(),
            "ECD_TUNE_STORAGE": self._storage,
        }
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._command,
                # Never written to: its end of file tells the worker that this process has ended.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self._folder,
                # Not in the terminal's group: Ctrl-C comes from us, once.
                start_new_session=True,
            )
        if placement.cores:
            # Before the interpreter is up, so that every thread of the worker inherits it.
            os.sched_setaffinity(process.pid, placement.cores)
        return process

    def _update_slot(self, slot: _Slot) -> None:
        if slot.due is not None:
            if self._clock() >= slot.due:
                slot.due = None
                slot.restarts += slot.counted
                slot.process = self._start(slot.placement, slot.log)
            return
        status = slot.process.poll()
        if status is None or slot.closed:
            return
        slot.reason = describe_end(status)
        _close_pipe(slot.process)
        # A worker that left a hanging trial is sound, and that trial is done with.
        slot.counted = status != HUNG_STATUS
        if status not in _FINAL and (slot.restarts < self._max_restarts or not slot.counted):
            slot.due = self._clock() + (self._pause * 2**slot.restarts if slot.counted else 0.0)


class LocalLauncher(Launcher):
    """Processes on this machine, each pinned to its GPUs and cores; they end with this one."""

    attached = True

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch)
        self._pool: LocalWorkers | None = None
        self._stack = ExitStack()

    def describe(self) -> str:
        """Return the command of each worker and where it runs."""
        return "\n".join(
            f"worker {index}: {self.launch.command}  # GPUs {','.join(place.gpus) or 'none'}, "
            f"cores {','.join(map(str, place.cores)) or 'not pinned'}"
            for index, place in enumerate(self._placements())
        )

    def submit(self) -> None:
        """Start the processes.

        Raises:
            LaunchError: This machine has too few GPUs or cores.
        """
        launch = self.launch
        pool = LocalWorkers(
            launch.arguments,
            self._placements(),
            launch.storage,
            launch.logs,
            max_restarts=launch.max_restarts,
        )
        self._pool = self._stack.enter_context(pool)

    def status(self) -> list[WorkerView]:
        """Restart dead workers whose pause is over, and return the states of all."""
        return self._pool.update() if self._pool else []

    def cancel(self) -> None:
        """Stop all processes."""
        self._stack.close()

    def _placements(self) -> list[Placement]:
        launch = self.launch
        self.refuse(time=launch.minutes, partition=launch.partition, options=launch.options)
        asked = launch.gpus_per_worker or launch.workers_per_gpu
        return plan_placements(
            launch.workers,
            find_gpus() if asked else (),
            usable_cores(),
            gpus_per_worker=launch.gpus_per_worker,
            workers_per_gpu=launch.workers_per_gpu,
            cores_per_worker=launch.cores_per_worker,
        )


def describe_end(status: int) -> str:
    """Say in words how a process ended.

    Args:
        status: As :attr:`subprocess.Popen.returncode`.

    Returns:
        For example ``"killed by SIGKILL"`` or ``"ended with status 1"``.
    """
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if status == HUNG_STATUS:
        return "exited because a trial hung"
    return f"ended with status {status}" if status else "complete"


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # a pipe was asked for
    process.stdin.close()
