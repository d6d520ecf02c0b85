"""The engines that ecd_tune brings along."""

from __future__ import annotations

from collections.abc import Mapping

from ecd_tune.registry import LauncherDef

__all__ = ["LAUNCHER_DEFS"]

LAUNCHER_DEFS: Mapping[str, LauncherDef] = {
    definition.name: definition
    for definition in (
        LauncherDef("local", "processes on this machine", "ecd_tune.launch.local:LocalLauncher"),
        LauncherDef("slurm", "jobs of Slurm", "ecd_tune.launch.slurm:SlurmLauncher"),
        LauncherDef("ray", "actors of a Ray cluster", "ecd_tune.launch.ray:RayLauncher"),
    )
}
