"""The device of a task's tensors."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ecd_tune.errors import TaskError

__all__ = ["CPU", "choose_device", "to_device", "has_room_for"]

CPU = torch.device("cpu")

_DATA_SHARE = 0.25
"""Of a GPU's free memory, what data may take that could also be copied batch by batch."""


def choose_device(name: str) -> torch.device:
    """Return a device by the value of the option ``device``.

    Args:
        name: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Returns:
        The device.

    Raises:
        TaskError: It is none of these, or a GPU that torch does not find.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise TaskError(f'device = {name!r} must be "auto", "cpu", "cuda" or "cuda:N"')
    found = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name.startswith("cuda"):
        wanted = int(name.partition(":")[2] or 0)
        if wanted >= found:
            raise TaskError(
                f'device = "{name}": torch finds {found or "no"} GPU{"s" * (found > 1)} here; '
                'use "cpu" or "auto"'
            )
        return torch.device(name)
    return torch.device("cuda" if found else "cpu")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor from the CPU to where it is needed, without waiting for a GPU.

    Args:
        tensor: On the CPU, and not to be written to afterwards; or there already.
        device: Target device.

    Returns:
        The tensor there; itself where it is there already.
    """
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def has_room_for(size: int, device: torch.device) -> bool:
    """Return whether data should be stored completely on a device.

    Args:
        size: Of the data, in bytes.
        device: Device of the network.

    Returns:
        False on the CPU, where processes share what they map from files.
    """
    if device.type != "cuda":
        return False
    return size <= _DATA_SHARE * torch.cuda.mem_get_info(device)[0]
