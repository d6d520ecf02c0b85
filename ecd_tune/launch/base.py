"""Base of all engines that start workers.

A launch is a number of workers of one study. An engine places them in groups, one group per
batch job, actor or machine; the workers of a group share its GPUs.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from ecd_tune.errors import LaunchError
from ecd_tune.launch.placement import Placement, check_gpu_rules
from ecd_tune.records import Scalar

__all__ = ["Group", "Launch", "Launcher", "WorkerState", "WorkerView", "log_path", "read_tail"]

_TAIL_LINES = 15


class WorkerState(StrEnum):
    """State of a worker, as known to its launcher."""

    PENDING = "waits for resources"
    RUNNING = "running"
    WAITING = "restarts soon"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def alive(self) -> bool:
        """Whether the worker runs, or will run without anybody's help."""
        return self in (WorkerState.PENDING, WorkerState.RUNNING, WorkerState.WAITING)


@dataclass(frozen=True)
class WorkerView:
    """State of one worker.

    Attributes:
        index: Which worker, from 0.
        pid: Process id of the present or last process; 0 where it is not known.
        state: Known details.
        restarts: How often it was started again.
        reason: How its last process ended, in words; empty while the first runs.
        placement: GPUs and cores.
        log: Its log file.
        where: Name of the machine or the batch job; empty on this machine.
    """

    index: int
    pid: int
    state: WorkerState
    restarts: int
    reason: str
    placement: Placement
    log: Path
    where: str = ""

    @property
    def tail(self) -> str:
        """The last lines of the log; empty where there is none."""
        return read_tail(self.log)


@dataclass(frozen=True)
class Group:
    """Workers that share one batch job, actor or machine.

    Attributes:
        first: Index of its first worker.
        workers: Number of workers.
        gpus: GPUs that they share.
        cores: Cores that they need together.
    """

    first: int
    workers: int
    gpus: int
    cores: int


@dataclass(frozen=True)
class Launch:
    """The launch.

    Attributes:
        study: Name of the study.
        arguments: Arguments after ``ecd-tune worker``, the same for all workers.
        storage: Storage URL; it may contain a password.
        logs: Folder of the logs ``worker-0.log`` …; on a file system that all machines share.
        workers: Number of workers.
        gpus_per_worker: Whole GPUs for each worker; None for none.
        workers_per_gpu: Workers that share one GPU; not together with ``gpus_per_worker``.
        cores_per_worker: Cores for each worker; None for one that is not pinned.
        max_restarts: How often a worker that died is started again in its place.
        minutes: Longest run of one batch job; its engine's default when None.
        partition: Queue of a batch system; its default when None.
        options: Further options of the engine, by its own names.
    """

    study: str
    arguments: tuple[str, ...]
    storage: str = field(repr=False)
    logs: Path
    workers: int = 1
    gpus_per_worker: int | None = None
    workers_per_gpu: int | None = None
    cores_per_worker: int | None = None
    max_restarts: int = 5
    minutes: int | None = None
    partition: str | None = None
    options: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """Command of each worker, for display."""
        return shlex.join(("ecd-tune", "worker", *self.arguments))

    def groups(self) -> list[Group]:
        """Divide the workers into the smallest groups that can be placed apart.

        Returns:
            One group per worker, or one per GPU where several workers share it.

        Raises:
            LaunchError: Both rules for GPUs are given.
        """
        check_gpu_rules(self.gpus_per_worker, self.workers_per_gpu)
        size = self.workers_per_gpu or 1
        gpus = 1 if self.workers_per_gpu else self.gpus_per_worker or 0
        groups = []
        for first in range(0, self.workers, size):
            count = min(size, self.workers - first)
            groups.append(Group(first, count, gpus, count * (self.cores_per_worker or 1)))
        return groups


class Launcher(ABC):
    """Starts the workers of one launch on one engine, and looks after them.

    A subclass is constructed with only the launch and does nothing until a method is called.
    Several launchers, of one engine or of several, may work on the same study.

    Args:
        launch: The launch.

    Attributes:
        attached: Whether the workers end with the process that submitted them. If they do not, a
            launcher that is created later from the same launch finds them again.
        launch: The launch, with an absolute log folder.
    """

    attached: ClassVar[bool]

    def __init__(self, launch: Launch) -> None:
        # Other machines have other working folders.
        self.launch = replace(launch, logs=launch.logs.absolute())

    @abstractmethod
    def describe(self) -> str:
        """Return what :meth:`submit` would start, in the engine's words, without any secret.

        Raises:
            LaunchError: The engine does not take what is asked for.
        """

    @abstractmethod
    def submit(self) -> None:
        """Start the workers, or queue them.

        Raises:
            LaunchError: The engine is not there, or does not take what is asked for.
        """

    @abstractmethod
    def status(self) -> list[WorkerView]:
        """Supervise the workers and return their states; call it about every second.

        Returns:
            One view per worker, by index; none before :meth:`submit`.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Ask all workers to leave; their trials are queued again. Repeating it changes nothing."""

    def logs(self) -> list[str]:
        """Return the end of each worker's log, by index; empty for one without a log."""
        return [view.tail for view in self.status()]

    def refuse(self, **unsupported: object) -> None:
        """Refuse settings that this engine does not know.

        Args:
            **unsupported: Values by the name of their option; None or empty where not given.

        Raises:
            LaunchError: One is given.
        """
        for name, value in unsupported.items():
            if value:
                raise LaunchError(
                    f"{name} = {value!r}: this engine does not support the setting; remove it, or "
                    "choose another engine with --on"
                )


def log_path(folder: Path, index: int) -> Path:
    """Return the log file of one worker."""
    return folder / f"worker-{index}.log"


def read_tail(log: Path) -> str:
    """Return the last lines of a log; empty where there is none."""
    if not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])
