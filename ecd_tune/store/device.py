"""The device of a process, in words: its GPUs, or else its processor.

Torch is asked where it is loaded already and never loaded for this; CUDA is never initialised,
because that takes a second and hundreds of megabytes on a GPU that the study may not use.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

__all__ = ["describe_device", "name_visible"]

_CPU_INFO = Path("/proc/cpuinfo")
_LISTED = re.compile(r"^\s*(?P<name>(GPU|MIG) .*?)\s*\(UUID: (?P<uuid>[^)]+)\)", re.MULTILINE)
_INDEX = re.compile(r"^GPU \d+: ")
_PATIENCE_SECONDS = 10.0
_LONGEST = 256


@cache
def describe_device() -> str:
    """Say what this process may compute on.

    Returns:
        For example ``2 × NVIDIA H100 80GB HBM3`` or ``AMD EPYC 7B13``; at most 256 characters.
    """
    names = Counter(_gpus())
    gpus = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in names.items())
    return (gpus or _processor())[:_LONGEST]


def _gpus() -> Sequence[str]:
    torch = sys.modules.get("torch")
    if torch is not None and not torch.backends.cuda.is_built():
        return []
    if torch is not None and torch.cuda.is_initialized():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    listed = _list_gpus()
    return name_visible(listed, os.environ.get("CUDA_VISIBLE_DEVICES")) if listed else []


def _list_gpus() -> str:
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def name_visible(listed: str, visible: str | None) -> list[str]:
    """Name the GPUs that CUDA shows to a process.

    Args:
        listed: The output of ``nvidia-smi -L``.
        visible: The variable ``CUDA_VISIBLE_DEVICES``; None where it is not set.

    Returns:
        One name per GPU or slice; entries that are not in the list keep their names.
    """
    wholes: list[str] = []
    by_uuid: dict[str, str] = {}
    for match in _LISTED.finditer(listed):
        name = match["name"]
        if name.startswith("GPU"):
            name = _INDEX.sub("", name)
            wholes.append(name)
        else:
            # A slice is called after its GPU too: "MIG 1g.10gb of NVIDIA H100".
            name = f"{name.partition(' Device')[0].rstrip()} of {wholes[-1]}"
        by_uuid[match["uuid"]] = name
    if visible is None:
        return wholes
    found: list[str] = []
    for entry in filter(None, (part.strip() for part in visible.split(","))):
        if entry == "-1":
            break  # CUDA reads no further either
        found.append(_find(entry, wholes, by_uuid))
    return found


def _find(entry: str, wholes: Sequence[str], by_uuid: Mapping[str, str]) -> str:
    if entry.isdigit():
        return wholes[int(entry)] if int(entry) < len(wholes) else f"GPU {entry}"
    # CUDA takes the beginning of a UUID for the whole, where only one begins so.
    near = [name for uuid, name in by_uuid.items() if uuid.startswith(entry)]
    return near[0] if len(near) == 1 else entry


def _processor() -> str:
    try:
        text = _CPU_INFO.read_text()
    except OSError:
        text = ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()
