"""Workers as actors of a Ray cluster.

One actor runs one group. Ray places it where its GPUs and cores are free, which makes an
autoscaling cluster grow, and starts it elsewhere when its node is lost. The cluster is the one that
``RAY_ADDRESS`` names, or the one of this machine; without any, one is started here.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecd_tune.errors import LaunchError
from ecd_tune.launch.base import Group, Launch, Launcher, WorkerState, WorkerView, log_path
from ecd_tune.launch.group import GroupRun
from ecd_tune.launch.placement import Placement

__all__ = ["RayGroup", "RayLauncher"]

_ANSWER_SECONDS = 2.0
_LEAVE_SECONDS = 30.0


class RayLauncher(Launcher):
    """Actors of Ray; they end with this process, and are started elsewhere when a node is lost.

    Args:
        launch: The launch; ``address`` among its options comes before RAY_ADDRESS.
    """

    attached = True

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch)
        self._actors: list[tuple[Group, Any]] = []
        self._runs: list[Any] = []
        self._left: list[WorkerView] = []

    def describe(self) -> str:
        """Return each actor's resources and command."""
        self._check()
        return "\n".join(
            f"actor of workers {group.first} to {group.first + group.workers - 1}: "
            f"{group.workers} × {self.launch.command}  "
            f"# num_gpus={group.gpus}, num_cpus={group.cores}"
            for group in self.launch.groups()
        )

    def submit(self) -> None:
        """Connect to the cluster and create the actors.

        Raises:
            LaunchError: Ray is not installed, or its cluster cannot be reached.
        """
        self._check()
        ray = _connect(self.launch.options.get("address"))
        actor = ray.remote(RayGroup)
        for group in self.launch.groups():
            handle = actor.options(
                num_gpus=group.gpus,
                num_cpus=group.cores,
                max_restarts=-1,
                max_task_retries=-1,
                max_concurrency=4,  # status and stop are answered while the group runs
                scheduling_strategy="SPREAD",
            ).remote(self.launch, group, str(Path.cwd()))
            self._actors.append((group, handle))
            self._runs.append(handle.run.remote())

    def status(self) -> list[WorkerView]:
        """Ask the actors; one that does not answer waits for a place."""
        if self._left:
            return self._left
        return [
            view
            for (group, handle), run in zip(self._actors, self._runs, strict=True)
            for view in self._views(group, handle, run)
        ]

    def cancel(self) -> None:
        """Ask all groups to leave, and end the actors."""
        if not self._actors or self._left:
            return
        import ray

        asked = [handle.leave.remote() for _, handle in self._actors]
        ray.wait(asked, num_returns=len(asked), timeout=_LEAVE_SECONDS)
        self._left = [
            replace(view, state=WorkerState.ENDED, reason=view.reason or "cancelled")
            if view.state.alive
            else view
            for view in self.status()
        ]
        for _, handle in self._actors:
            ray.kill(handle)

    def _views(self, group: Group, handle: Any, run: Any) -> Sequence[WorkerView]:
        import ray

        ready, _ = ray.wait([run], timeout=0)
        try:
            views: list[WorkerView] = ray.get(
                run if ready else handle.views.remote(), timeout=_ANSWER_SECONDS
            )
        except ray.exceptions.GetTimeoutError:
            return self._all(group, WorkerState.PENDING)
        except ray.exceptions.RayError as error:
            return self._all(group, WorkerState.FAILED, str(error).strip().splitlines()[-1])
        return views or self._all(group, WorkerState.PENDING)

    def _all(self, group: Group, state: WorkerState, reason: str = "") -> list[WorkerView]:
        indices = range(group.first, group.first + group.workers)
        logs = self.launch.logs
        return [
            WorkerView(index, 0, state, 0, reason, Placement(), log_path(logs, index))
            for index in indices
        ]

    def _check(self) -> None:
        launch = self.launch
        others = {name: value for name, value in launch.options.items() if name != "address"}
        self.refuse(time=launch.minutes, partition=launch.partition, options=others)


class RayGroup:
    """The actor: runs one group's workers as processes of its node.

    Args:
        launch: All workers, with the storage URL.
        group: Which of them run here.
        folder: Working folder, for relative paths in the arguments.
    """

    def __init__(self, launch: Launch, group: Group, folder: str) -> None:
        self._storage = launch.storage
        self._group = GroupRun(launch, group, Path(folder))

    def run(self) -> list[WorkerView]:
        """Run the workers until all have ended, and return their states."""
        self._group.run(self._storage)
        return self.views()

    def views(self) -> list[WorkerView]:
        """Return the states of the workers; empty before they are started."""
        where = platform.node()
        return [replace(view, where=where) for view in self._group.views()]

    def leave(self) -> None:
        """Let the workers save their runs and leave."""
        self._group.leave(_LEAVE_SECONDS)


def _connect(address: object) -> Any:
    """Connect to a cluster.

    Args:
        address: Of the cluster; None for RAY_ADDRESS, this machine's, or a new one.

    Returns:
        The module ``ray``.

    Raises:
        LaunchError: Ray is not installed, or the cluster cannot be reached.
    """
    # Set before ray is imported: a tuning run sends no usage statistics anywhere.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise LaunchError(
            "--on ray needs Ray; install it with: pip install 'ecd_tune[ray]'"
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(
                str(address) if address else None,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        except (ConnectionError, ValueError) as error:
            raise LaunchError(f"--on ray: the cluster cannot be reached: {error}") from None
    return ray
