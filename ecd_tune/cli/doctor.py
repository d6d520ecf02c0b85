"""``ecd-tune doctor``: what of this installation can be used, and why the rest cannot."""

from __future__ import annotations

import platform

import typer

import ecd_tune

__all__ = ["doctor"]


def doctor() -> None:
    """Say which forms of the optimizers' step this installation has, and why not others."""
    import torch  # takes seconds, and no other command of the service needs it

    from ecd_tune.optim.fused import cpu, gpu

    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    typer.echo(f"ecd_tune {ecd_tune.__version__}, {versions}, {platform.machine()}")
    problem = cpu.problem()
    if problem is None:
        typer.echo(f"fused step on a CPU: compiled, instruction set {cpu.level()}")
    else:
        typer.echo(f"fused step on a CPU: no, steps take the reference form: {problem}")
    problem = gpu.problem()
    if problem is None and not torch.cuda.is_available():
        problem = "there is no CUDA device"
    if problem is None:
        typer.echo(f"fused step on a GPU: Triton, {torch.cuda.get_device_name()}")
    else:
        typer.echo(f"fused step on a GPU: no: {problem}")
