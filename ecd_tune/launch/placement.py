"""Which GPUs and cores each worker of one machine gets.

The plan is a pure function of the available and requested resources; the available ones are read
from the environment, the scheduler's mask and ``nvidia-smi``.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ecd_tune.errors import LaunchError

__all__ = [
    "Placement",
    "check_gpu_rules",
    "find_gpus",
    "parse_gpu_list",
    "plan_placements",
    "usable_cores",
]

_UUID = re.compile(r"^(?P<indent>\s*).*\(UUID: (?P<uuid>(GPU|MIG)-[^)\s]+)\)")


@dataclass(frozen=True)
class Placement:
    """Resources of one worker.

    Attributes:
        gpus: Names for ``CUDA_VISIBLE_DEVICES``: indices or UUIDs; empty for no GPU.
        cores: Logical cores it is pinned to; empty for no pinning.
    """

    gpus: tuple[str, ...] = ()
    cores: tuple[int, ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the variables that a worker of this placement gets."""
        variables: dict[str, str] = {}
        if self.cores:
            threads = str(len(self.cores))
            variables |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if self.gpus:
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        return variables


def plan_placements(
    workers: int,
    gpus: Sequence[str] = (),
    cores: Sequence[int] = (),
    *,
    gpus_per_worker: int | None = None,
    workers_per_gpu: int | None = None,
    cores_per_worker: int | None = None,
) -> list[Placement]:
    """Deal GPUs and cores out to workers.

    Args:
        workers: Number of workers.
        gpus: GPUs of this machine.
        cores: Cores that may be used.
        gpus_per_worker: Whole GPUs for each worker.
        workers_per_gpu: Workers that share a GPU; not together with ``gpus_per_worker``.
        cores_per_worker: Cores per worker, assigned in order; None pins nothing.

    Returns:
        One placement per worker.

    Raises:
        LaunchError: Both GPU rules are given, or the machine has too little.
    """
    check_gpu_rules(gpus_per_worker, workers_per_gpu)
    assigned_gpus = _assign_gpus(workers, gpus, gpus_per_worker, workers_per_gpu)
    size = cores_per_worker or 0
    if workers * size > len(cores):
        raise LaunchError(
            f"--workers {workers} --cores-per-worker {size} needs {workers * size} cores; "
            f"{len(cores)} are available. Use fewer workers or cores"
        )
    return [
        Placement(dealt, tuple(cores[index * size : (index + 1) * size]))
        for index, dealt in enumerate(assigned_gpus)
    ]


def check_gpu_rules(gpus_per_worker: int | None, workers_per_gpu: int | None) -> None:
    """Check that at most one rule assigns GPUs to workers.

    Args:
        gpus_per_worker: Whole GPUs for each worker.
        workers_per_gpu: Workers that share a GPU.

    Raises:
        LaunchError: Both are given.
    """
    if gpus_per_worker is not None and workers_per_gpu is not None:
        raise LaunchError(
            "--gpus-per-worker and --workers-per-gpu are mutually exclusive: use whole GPUs per "
            "worker, or several workers per GPU"
        )


def _assign_gpus(
    workers: int,
    gpus: Sequence[str],
    gpus_per_worker: int | None,
    workers_per_gpu: int | None,
) -> list[tuple[str, ...]]:
    if workers_per_gpu is not None:
        if workers > len(gpus) * workers_per_gpu:
            raise LaunchError(
                f"--workers {workers} --workers-per-gpu {workers_per_gpu} needs "
                f"{-(-workers // workers_per_gpu)} GPUs; this machine shows {len(gpus)}"
            )
        return [(gpus[index // workers_per_gpu],) for index in range(workers)]
    size = gpus_per_worker or 0
    if workers * size > len(gpus):
        raise LaunchError(
            f"--workers {workers} --gpus-per-worker {size} needs {workers * size} GPUs; this "
            f"machine shows {len(gpus)}"
        )
    return [tuple(gpus[index * size : (index + 1) * size]) for index in range(workers)]


def usable_cores() -> list[int]:
    """Return the logical cores that this process may run on, in order."""
    return sorted(os.sched_getaffinity(0))


def find_gpus() -> list[str]:
    """Return the GPUs that a process started here would see; none without a driver.

    ``CUDA_VISIBLE_DEVICES`` is obeyed where it is set, so that a launcher inside a batch job
    stays within its allocation.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_gpu_list(listed.stdout)


def parse_gpu_list(text: str) -> list[str]:
    """Read the output of ``nvidia-smi -L``.

    Args:
        text: One line per GPU, with indented lines for its MIG slices.

    Returns:
        UUIDs; a GPU that is cut into MIG slices is replaced by its slices.
    """
    found: list[str] = []
    for line in text.splitlines():
        match = _UUID.match(line)
        if match is None:
            continue
        if match["uuid"].startswith("MIG-") and found and found[-1].startswith("GPU-"):
            # The whole GPU cannot be used once it is cut.
            found.pop()
        found.append(match["uuid"])
    return found
