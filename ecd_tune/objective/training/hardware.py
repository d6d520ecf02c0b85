"""How the device computes a run: rounding of matrix products, memory format, compilation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from ecd_tune.errors import TaskError
from ecd_tune.spec import TrainingSpec
from ecd_tune.tasks import NetworkProblem, Problem

__all__ = ["Precision", "computing", "prepare_network"]

Precision = Literal["auto", "fp32", "tf32", "bf16"]
_TF32 = ("auto", "tf32")


def prepare_network(problem: Problem, settings: TrainingSpec) -> None:
    """Set memory format and compilation of a problem's network.

    Args:
        problem: The problem, before its first step.
        settings: The settings of the study.

    Raises:
        TaskError: They are set, and the problem does not show its network.
    """
    channels_last = settings.memory_format == "channels_last"
    if not channels_last and not settings.compile:
        return
    if not isinstance(problem, NetworkProblem):
        key = "memory_format" if channels_last else "compile"
        raise TaskError(
            f"[training]: {key}: this task has no torch module to apply it to; remove the key"
        )
    if channels_last:
        # The weights stay contiguous: noise follows their order in memory, and torch converts them
        # itself.
        problem.network.register_forward_pre_hook(_to_channels_last)
    if settings.compile:
        problem.network.compile()


def _to_channels_last(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        x.contiguous(memory_format=torch.channels_last)
        if isinstance(x, torch.Tensor) and x.dim() == 4
        else x
        for x in inputs
    )


@contextmanager
def computing(device: torch.device, precision: Precision) -> Iterator[None]:
    """Set the precision of float32 products on a device as in the study.

    Args:
        device: Device of the network. TF32 exists on CUDA devices; elsewhere float32 is itself.
        precision: ``fp32``: all 24 bits; ``tf32`` and ``auto``: products of numbers rounded to 11
            bits; ``bf16``: torch's autocast, the rest in float32.
    """
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        if device.type != "cuda":
            yield
            return
        matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
        before = matmul.allow_tf32, convolution.allow_tf32
        matmul.allow_tf32 = convolution.allow_tf32 = precision in _TF32
        try:
            yield
        finally:
            matmul.allow_tf32, convolution.allow_tf32 = before
