"""What parameter groups of our optimizers may hold, and that they agree on what is global."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import MOMENTS, OPTIMIZER_DEFS, SHARE

__all__ = ["TRAJECTORY", "check_params", "known_keys", "shared_values", "tensor_lr"]

TRAJECTORY = "trajectory"
"""Key of the global scalars in a parameter group."""

_OPTIONS = ("maximize", "foreach", "wait", "fused")
_OF_CONSTRUCTOR = ("seed", "process_group", "shard_group")
_OF_TORCH = ("params", "param_names", "initial_lr", "name")


def known_keys(name: str, group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new group without the arguments of the constructor.

    Args:
        name: Optimizer.
        group: As the user gives it. ZeroRedundancyOptimizer repeats the constructor's arguments
            in every group.

    Returns:
        What the optimizer takes of it.

    Raises:
        HyperparameterError: It has an unknown key.
    """
    allowed = {*OPTIMIZER_DEFS[name].hyperparameters, *_OPTIONS, *_OF_TORCH}
    kept = {key: value for key, value in group.items() if key not in _OF_CONSTRUCTOR}
    unknown = sorted(set(kept) - allowed - {TRAJECTORY})
    if unknown:
        raise HyperparameterError(
            f"{name}: a parameter group has the unknown key {', '.join(unknown)}; allowed: "
            f"{', '.join(sorted(allowed))}"
        )
    return kept


def check_params(name: str, group: Mapping[str, Any]) -> None:
    """Check that the parameters of a group can be optimized.

    Args:
        name: Optimizer, for the message.
        group: The group.

    Raises:
        HyperparameterError: One is sparse, of whole numbers, or of 8 bits; or of FSDP1, whose
            flat tensors have no scale of their own.
    """
    flattened = any(getattr(p, "_fsdp_flattened", False) for p in group["params"])
    if group.get("scale") in (SHARE, MOMENTS) and flattened:
        raise HyperparameterError(
            f"{name}: scale = {group['scale']!r} needs whole tensors, and "
            "FullyShardedDataParallel flattens them; use FSDP2 (fully_shard), or set numbers for "
            "the groups"
        )
    for p in group["params"]:
        dense = p.layout == torch.strided and (p.is_floating_point() or p.is_complex())
        if not dense or p.dtype.itemsize < 2:
            raise HyperparameterError(
                f"{name}: a parameter of dtype {p.dtype} and layout {p.layout} cannot be "
                "optimized; supported are dense real or complex floating-point tensors of 16 bits "
                "or more. Optimize a dense copy in bfloat16 or float32"
            )


def shared_values(
    name: str, groups: Sequence[Mapping[str, Any]], per_group: Collection[str]
) -> dict[str, Any]:
    """Return the global hyperparameters.

    Args:
        name: Optimizer.
        groups: Its parameter groups.
        per_group: What may differ between them.

    Returns:
        Name to value.

    Raises:
        HyperparameterError: Two groups do not agree on one.
    """
    first, declared = groups[0], OPTIMIZER_DEFS[name].hyperparameters
    names = [key for key in (*declared, *_OPTIONS) if key not in per_group]
    for group in groups[1:]:
        for key in names:
            if group[key] != first[key]:
                raise HyperparameterError(
                    f"{name}: {key} is global, but one parameter group has {first[key]!r} and "
                    f"another {group[key]!r}; only {', '.join(sorted(per_group))} may differ"
                )
    return {key: first[key] for key in names if key not in _OPTIONS}


def tensor_lr(values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return ``lr`` where it is a tensor, which stays one: schedulers write into it."""
    return {"lr": values["lr"]} if isinstance(values["lr"], Tensor) else {}
