"""Workers as jobs of Slurm, through submitit.

Ahead of the time limit, and before a preemption, Slurm sends SIGUSR2: the workers save their runs,
queue their trials again and leave, and the job is queued again, until the study is complete.
Accounting (``sacct``) is not needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecd_tune.errors import LaunchError
from ecd_tune.launch.base import Group, Launch, Launcher, WorkerState, WorkerView, log_path
from ecd_tune.launch.group import GroupRun
from ecd_tune.launch.placement import Placement
from ecd_tune.launch.slurm_options import divide_options

if TYPE_CHECKING:
    from submitit import SlurmExecutor

__all__ = ["SlurmLauncher"]

_DEFAULT_MINUTES = 60
_LEAST_MINUTES = 5
_NOTICE_SECONDS = 90
"""Slurm's notice ahead of the time limit."""
_LEAVE_SECONDS = 60.0
"""Of the notice, what workers have for saving; the rest is for putting the job back."""
_STORAGE_VARIABLE = "ECD_TUNE_STORAGE"
_MOST_REQUEUES = 1_000_000
_STATES: Mapping[str, WorkerState] = {
    "PENDING": WorkerState.PENDING,
    "CONFIGURING": WorkerState.PENDING,
    "REQUEUED": WorkerState.PENDING,
    "SUSPENDED": WorkerState.PENDING,
}
"""Any other state of a job that is in the queue is a kind of running."""
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE")
"""A job stays in the queue for some minutes after its end."""


@dataclass(frozen=True)
class _Job:
    """One submitted job.

    Attributes:
        id: Slurm's, with the array index: ``"12_3"``.
        group: The workers in it.
        cancelled: Whether :meth:`SlurmLauncher.cancel` has ended it.
    """

    id: str
    group: Group
    cancelled: bool = False


class SlurmLauncher(Launcher):
    """Jobs of Slurm, as one array; a second submission adds workers.

    What is submitted is kept in the folder ``slurm`` below the logs, which only its owner can read:
    the storage URL, the jobs, and what submitit writes.

    Args:
        launch: The launch; its options are those of ``sbatch`` by their long names.
    """

    attached = False

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch)
        self._folder = self.launch.logs / "slurm"

    def describe(self) -> str:
        """Return the batch script of the array.

        Raises:
            LaunchError: submitit is not installed, the time limit is too short, or an option is
                not possible.
        """
        executor = self._executor()
        executor.parameters["map_count"] = len(self.launch.groups())
        return executor._make_submission_file_text(executor._submitit_command_str, "")

    def submit(self) -> None:
        """Queue the jobs.

        Raises:
            LaunchError: Slurm or submitit is not there, or Slurm refuses the jobs.
        """
        if shutil.which("sbatch") is None:
            raise LaunchError("--on slurm: sbatch is not on the PATH; run this on a login node")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)  # what is unpickled later must be ours
        with (self._folder / "lock").open("w") as lock:
            # Two commands at once number their workers in turn; some file systems have no locks.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            _write_private(self._storage_file, self.launch.storage)
            jobs = self._read_jobs()
            first = max((job.group.first + job.group.workers for job in jobs), default=0)
            groups = [replace(group, first=group.first + first) for group in self.launch.groups()]
            ids = self._submit(groups)
            jobs += [_Job(id, group) for id, group in zip(ids, groups, strict=True)]
            self._write_jobs(jobs)

    def status(self) -> list[WorkerView]:
        """Query Slurm's queue; jobs that have left it have recorded their exit status."""
        jobs = self._read_jobs()
        queued = _read_queue([job.id for job in jobs if not self._end_file(job.group).exists()])
        return [view for job in jobs for view in self._views(job, queued.get(job.id))]

    def cancel(self) -> None:
        """Cancel the jobs that have not ended."""
        jobs = self._read_jobs()
        left = [job for job in jobs if not self._end_file(job.group).exists()]
        if left:
            self._write_jobs([replace(job, cancelled=job in left) for job in jobs])
            _run_slurm("scancel", *(job.id for job in left))

    @property
    def _storage_file(self) -> Path:
        return self._folder / "storage"

    def _submit(self, groups: list[Group]) -> list[str]:
        executor = self._executor()
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        # The URL is not pickled: it is in its own file.
        launch = replace(self.launch, storage="")
        try:
            with _without_storage(), executor.batch():
                jobs = [
                    executor.submit(
                        SlurmGroup(
                            GroupRun(launch, group), self._storage_file, self._end_file(group)
                        )
                    )
                    for group in groups
                ]
        except (FailedJobError, FailedSubmissionError) as error:
            raise LaunchError(f"--on slurm: sbatch rejected the jobs: {error}") from None
        return [job.job_id for job in jobs]

    def _executor(self) -> SlurmExecutor:
        try:
            from submitit import SlurmExecutor
        except ImportError:
            raise LaunchError(
                "--on slurm needs submitit; install it with: pip install 'ecd_tune[slurm]'"
            ) from None
        launch, groups = self.launch, self.launch.groups()
        script, srun = divide_options(launch.options)
        if launch.minutes is not None and launch.minutes < _LEAST_MINUTES:
            raise LaunchError(
                f"--time {launch.minutes}: must be at least {_LEAST_MINUTES} minutes: workers are "
                f"stopped {_NOTICE_SECONDS} s before the limit"
            )
        try:
            executor = SlurmExecutor(self._folder / "%j", max_num_timeout=_MOST_REQUEUES)
        except RuntimeError as error:
            raise LaunchError(f"--on slurm: {error}") from None
        executor.update_parameters(
            job_name=f"ecd_tune-{launch.study}",
            time=launch.minutes or _DEFAULT_MINUTES,
            cpus_per_task=max(group.cores for group in groups),
            signal_delay_s=_NOTICE_SECONDS,
            stderr_to_stdout=True,
            wckey=None,
            additional_parameters={"requeue": True, **script},
            srun_args=srun,
            **({"partition": launch.partition} if launch.partition else {}),
            **({"gpus_per_node": groups[0].gpus} if groups[0].gpus else {}),
        )
        return executor

    def _views(self, job: _Job, state: str | None) -> list[WorkerView]:
        file = self._end_file(job.group)
        known = json.loads(file.read_text()) if file.exists() else None
        views = []
        for index in range(job.group.workers):
            worker = job.group.first + index
            end = known and known[index]
            kind, reason, restarts = _classify(job, state, end, self._folder / job.id)
            log = log_path(self.launch.logs, worker)
            views.append(
                WorkerView(worker, 0, kind, restarts, reason, Placement(), log, f"job {job.id}")
            )
        return views

    def _end_file(self, group: Group) -> Path:
        return self._folder / f"ended-{group.first}.json"

    def _read_jobs(self) -> list[_Job]:
        path = self._folder / "jobs.json"
        if not path.exists():
            return []
        try:
            rows = json.loads(path.read_text())
            return [_Job(row["id"], Group(**row["group"]), row["cancelled"]) for row in rows]
        except (ValueError, KeyError, TypeError):
            raise LaunchError(
                f"{path}: is damaged; look for the jobs with squeue, and delete this file"
            ) from None

    def _write_jobs(self, jobs: list[_Job]) -> None:
        _write_private(self._folder / "jobs.json", json.dumps([asdict(job) for job in jobs]))


@dataclass
class SlurmGroup:
    """Payload of one job; submitit pickles it.

    Attributes:
        group: The workers.
        storage: File with the storage URL.
        end: File with the exit states of the workers.
    """

    group: GroupRun
    storage: Path
    end: Path

    def __call__(self) -> None:
        """Run the workers until they have ended, and write down how."""
        told: list[int] = []
        # Sent when the job is cancelled or preempted. The workers get it too; submitit would
        # ignore it.
        signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
        views = self.group.run(self.storage.read_text(), lambda: bool(told))
        if told:
            return  # Slurm knows which of the two it is, and whether the job comes back
        rows = [
            {"state": view.state.name, "reason": view.reason, "restarts": view.restarts}
            for view in views
        ]
        _write_private(self.end, json.dumps(rows))

    def checkpoint(self) -> Any:
        """Let the workers save and leave, and return what the job runs when its turn comes again.

        Returns:
            A submission of submitit.
        """
        from submitit.helpers import DelayedSubmission

        self.group.leave(_LEAVE_SECONDS)
        return DelayedSubmission(self)


def _classify(
    job: _Job, state: str | None, ended: Mapping[str, Any] | None, output: Path
) -> tuple[WorkerState, str, int]:
    """Return state, reason and restarts of one worker."""
    if ended is not None:
        return WorkerState[ended["state"]], ended["reason"], ended["restarts"]
    if state is not None and state not in _ENDED:
        return _STATES.get(state, WorkerState.RUNNING), "", 0
    if job.cancelled:
        return WorkerState.ENDED, "cancelled", 0
    reason = f"job {job.id} is {(state or 'no longer queued').lower()}; its output is in {output}"
    return WorkerState.FAILED, reason, 0


def _read_queue(ids: list[str]) -> dict[str, str]:
    """Return the states of the jobs that Slurm still knows, by id."""
    if not ids:
        return {}
    rows = _run_slurm("squeue", "--me", "--array", "--all", "--noheader", "--format=%i %T")
    states = dict(line.split() for line in rows.splitlines())
    return {id: states[id] for id in ids if id in states}


def _run_slurm(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except FileNotFoundError:
        raise LaunchError(f"--on slurm: {program} is not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise LaunchError(f"--on slurm: {program} does not respond") from None
    except subprocess.CalledProcessError as error:
        raise LaunchError(f"--on slurm: {program}: {error.stderr.strip()}") from None
    return done.stdout


@contextmanager
def _without_storage() -> Iterator[None]:
    """Hide the storage URL from sbatch, which stores its environment with the job."""
    url = os.environ.pop(_STORAGE_VARIABLE, None)
    try:
        yield
    finally:
        if url is not None:
            os.environ[_STORAGE_VARIABLE] = url


def _write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable only by its owner."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(text)
    part.replace(path)
