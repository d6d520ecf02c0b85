"""Where the tensors of a task lie, and random numbers there."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ecd_tune.errors import TaskError

__all__ = ["CPU", "choose_device", "to_device", "generator_on"]

CPU = torch.device("cpu")


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
        tensor: On the CPU; not to be written to afterwards.
        device: Where to.

    Returns:
        The tensor there; itself where it is there already.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def generator_on(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """Return a generator with the same seed on another device.

    Args:
        generator: A new one, of which nothing has been drawn.
        device: Where it is needed.

    Returns:
        ``generator`` itself on the CPU; the numbers on a GPU are others.
    """
    if device.type == "cpu":
        return generator
    return torch.Generator(device).manual_seed(generator.initial_seed())
