"""Where the tensors of a task lie, and random numbers there."""

from __future__ import annotations

import torch

from ecd_tune.errors import TaskError

__all__ = ["CPU", "choose_device", "on_device"]

CPU = torch.device("cpu")


def choose_device(name: str) -> torch.device:
    """Return a device by the value of the option ``device``.

    Args:
        name: ``"auto"`` (a GPU where there is one), ``"cpu"`` or ``"cuda"``.

    Returns:
        The device.

    Raises:
        TaskError: ``"cuda"`` where torch finds no GPU.
    """
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise TaskError('device = "cuda": torch finds no GPU here; use "cpu" or "auto"')
    return torch.device("cuda" if found and name != "cpu" else "cpu")


def on_device(generator: torch.Generator, device: torch.device) -> torch.Generator:
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
