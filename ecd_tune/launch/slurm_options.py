"""The options of ``sbatch`` that a study file adds, divided between its script and ``srun``.

``srun`` starts the workers within the script. A container belongs to ``srun``: ``sbatch`` would run
the script itself in the container, where ``srun`` is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ecd_tune.errors import LaunchError
from ecd_tune.records import Scalar

__all__ = ["divide_options"]

_NAME = re.compile(r"[a-z][a-z0-9-]+")
_CONTAINER = re.compile(r"(no-)?container(-.*)?")
_ELSEWHERE: Mapping[str, str] = {
    "time": "use the key time, or --time",
    "partition": "use the key partition, or --partition",
    "cpus-per-task": "use the key cores_per_worker, or --cores-per-worker",
    "gpus-per-node": "use the key gpus_per_worker, or --gpus-per-worker",
}
_FIXED = frozenset(
    {"array", "error", "no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output"}
    | {"parsable", "quiet", "requeue", "signal", "test-only", "wait", "wrap"}
)
"""A job is one task, is re-queued until the study is complete, and is told before its limit.

sbatch prints its number, by which the launcher finds it, and returns at once.
"""


def divide_options(options: Mapping[str, Scalar]) -> tuple[dict[str, Scalar], list[str]]:
    """Check options and say which go to ``srun``.

    Args:
        options: By their long names; False leaves a flag out.

    Returns:
        Parameters of the script, as submitit names them, and arguments of ``srun``.

    Raises:
        LaunchError: A name is not that of an option, or the launcher sets this option.
    """
    script: dict[str, Scalar] = {}
    srun: list[str] = []
    for given, value in options.items():
        name = given.replace("_", "-")
        _check_name(given, name)
        if value is False:
            continue
        if _CONTAINER.fullmatch(name):
            srun.append(f"--{name}" if value is True else f"--{name}={value}")
        else:
            # submitit's own form: so it replaces what submitit or the launcher set.
            script[name.replace("-", "_")] = value
    return script, srun


def _check_name(given: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise LaunchError(
            f"options: {given!r}: must be the long name of an option of sbatch, without dashes in "
            "front; for example mem or mail-user"
        )
    if name in _ELSEWHERE:
        raise LaunchError(f"options: {given}: {_ELSEWHERE[name]}")
    if name in _FIXED:
        raise LaunchError(
            f"options: {given}: cannot be changed, the launcher depends on it; remove it"
        )
