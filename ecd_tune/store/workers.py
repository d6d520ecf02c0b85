"""Workers of the store: one row per process, to tell dead processes from slow ones."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import sqlalchemy as sa

from ecd_tune.records import Stage, StudyKey
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.cells import load
from ecd_tune.store.db.sql import Change, now
from ecd_tune.store.device import describe_device

__all__ = [
    "HeldTrial",
    "Worker",
    "WorkerRecord",
    "here",
    "read_workers",
    "seen_again",
    "seen_worker",
]

_PACKAGES = ("ecd_tune", "optuna", "torch", "numpy")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Worker:
    """Unique identity of a process.

    Attributes:
        host: Name of the machine.
        boot_id: Boot and process namespace of the machine (a container's process numbers mean
            nothing outside); empty if unknown.
        pid: Process number.
        process_start: When it started, in clock ticks since boot; 0 where not known.
        versions: Package to version.
        device: Its device: its GPUs, or else its processor.
    """

    host: str
    boot_id: str
    pid: int
    process_start: int
    versions: Mapping[str, str] = field(default_factory=dict, compare=False)
    device: str = field(default="", compare=False)

    @classmethod
    def current(cls) -> Worker:
        """Return the worker that is this process."""
        pid = os.getpid()
        return cls(
            *here(),
            pid,
            _process_start(pid) or 0,
            _versions(),
            describe_device(),
        )

    @property
    def id(self) -> str:
        """Key of the worker's row."""
        text = f"{self.host}/{self.boot_id}/{self.pid}/{self.process_start}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """``host:pid``, as people read it."""
        return f"{self.host}:{self.pid}"

    @property
    def is_dead(self) -> bool:
        """True only when this process can know: same machine, same boot, and no such process."""
        if not self.boot_id or (self.host, self.boot_id) != here():
            return False
        return not _is_hidden(self.pid) and _process_start(self.pid) != self.process_start


@dataclass(frozen=True)
class HeldTrial:
    """A trial under a lease.

    Attributes:
        key: Its study.
        number: Its number there.
    """

    key: StudyKey
    number: int


@dataclass(frozen=True)
class WorkerRecord:
    """One worker process that ever asked.

    Attributes:
        name: ``host:pid``.
        versions: Package to version.
        started: When it first asked; UTC, aware.
        seen: When it last asked or renewed; UTC, aware.
        age: Seconds since then, by the database's clock.
        device: Its device; empty if unknown.
        trials: Its current trials, in the order of their leases.
    """

    name: str
    versions: Mapping[str, str]
    started: datetime
    seen: datetime
    age: float
    device: str = ""
    trials: tuple[HeldTrial, ...] = ()

    @property
    def running(self) -> int:
        """Number of its current trials."""
        return len(self.trials)


def seen_worker(worker: Worker) -> Change:
    """Return the change that adds a worker's row where it is missing, and notes that it was seen.

    Args:
        worker: The worker.
    """
    row = {
        "id": worker.id,
        "host": worker.host,
        "boot_id": worker.boot_id,
        "pid": worker.pid,
        "process_start": worker.process_start,
        "versions": json.dumps(dict(worker.versions)),
        "device": worker.device,
        "started_at": 0.0,
        "seen_at": 0.0,
    }
    times = ("started_at", "seen_at")
    return Change(tables.workers, [row], ("id",), kept=("started_at",), from_now=times)


def seen_again(worker_ids: Iterable[str]) -> Change:
    """Return the change that notes that workers, whose rows exist, were seen just now.

    Args:
        worker_ids: Keys of their rows.
    """
    rows = [{"id": worker_id, "seen_at": 0.0} for worker_id in sorted(worker_ids)]
    return Change(tables.workers, rows, key="id", from_now=("seen_at",))


def read_workers(connection: sa.Connection) -> list[WorkerRecord]:
    """Read all workers, the one seen last first.

    Args:
        connection: A transaction.

    Returns:
        One record per process.
    """
    workers, held = tables.workers, _read_held(connection)
    rows = connection.execute(
        sa.select(workers, now().label("now")).order_by(workers.c.seen_at.desc(), workers.c.id)
    )
    return [
        WorkerRecord(
            name=f"{row.host}:{row.pid}",
            versions=load(row.versions),
            started=datetime.fromtimestamp(row.started_at, UTC),
            seen=datetime.fromtimestamp(row.seen_at, UTC),
            age=max(0.0, row.now - row.seen_at),
            device=row.device or "",
            trials=tuple(held.get(row.id, ())),
        )
        for row in rows
    ]


def _read_held(connection: sa.Connection) -> dict[str, list[HeldTrial]]:
    leases, studies, trials = tables.leases, tables.studies, optuna_tables.trials
    rows = connection.execute(
        sa.select(
            leases.c.worker_id,
            studies.c.study,
            studies.c.optimizer,
            studies.c.stage,
            trials.c.number,
        )
        .join(studies, studies.c.study_id == leases.c.study_id)
        .join(trials, trials.c.trial_id == leases.c.trial_id)
        .order_by(leases.c.trial_id)
    )
    held: dict[str, list[HeldTrial]] = {}
    for worker_id, study, optimizer, stage, number in rows:
        trial = HeldTrial(StudyKey(study, optimizer, Stage(stage)), number)
        held.setdefault(worker_id, []).append(trial)
    return held


def here() -> tuple[str, str]:
    """Return this machine's name and boot, as a worker has them."""
    return socket.gethostname(), _boot_id()


def _boot_id() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_hidden(pid: int) -> bool:
    # If /proc is mounted with hidepid, other users' processes are not visible.
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not (_PROC / str(pid)).exists()
    except OSError:
        return False
    return False


def _process_start(pid: int) -> int | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The second field is the command in parentheses, which may contain any characters.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
